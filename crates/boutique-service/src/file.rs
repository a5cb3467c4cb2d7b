//! Files that people write.

use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// The identity and the time of a file's content: inode, seconds, nanoseconds, length. It differs once the file changes.
pub(crate) type Stamp = (u64, i64, i64, u64);

/// Returns the stamp of a file, if it is there.
pub(crate) fn stamp(path: &Path) -> Option<Stamp> {
    let file = std::fs::metadata(path).ok()?;
    Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
}

/// Reads a text of at most `max` bytes as editors and spreadsheets write it: in UTF-8, with or without a byte order mark.
/// The error continues after the name of a setting, as in `must name a file that can be read: …`.
pub fn read_text(path: &Path, max: usize) -> Result<String, String> {
    let unreadable = |error: std::io::Error| format!("must name a file that can be read: {error}");
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(format!("must name a file of at most {max} bytes"));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err("must name a file in UTF-8: this one is in UTF-16".to_owned());
    }
    let text = String::from_utf8(bytes)
        .map_err(|_| "must name a file in UTF-8: this one is in another encoding".to_owned())?;
    Ok(text.strip_prefix('\u{feff}').map(str::to_owned).unwrap_or(text))
}
