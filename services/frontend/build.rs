//! Compiles the files below `static` in: each with its hash, and texts compressed in the forms that browsers take.

use std::error::Error;
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// The endings of files that are compressed already.
const COMPRESSED: &[&str] = &["jpg", "png"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=static");
    #[expect(clippy::disallowed_methods, reason = "cargo tells build scripts so")]
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    // Paths are relative to what cargo says when the table is compiled, so that a build folder can be moved or kept in a
    // cache.
    let mut files = Vec::new();
    collect(Path::new("static"), &mut files)?;
    // Sorted by what they are looked up by.
    let mut names = Vec::new();
    for file in files {
        let name = file.strip_prefix("static")?.to_str().ok_or("a name that is not UTF-8")?;
        names.push((name.to_owned(), file));
    }
    names.sort();
    let mut table = "&[\n".to_owned();
    for (name, file) in names {
        let plain = std::fs::read(&file)?;
        let mut hasher = DefaultHasher::new();
        hasher.write(&plain);
        let hash = format!("{:016x}", hasher.finish());
        write!(
            table,
            "Asset {{ path: {name:?}, hash: \"{hash}\", link: \"/static/{name}?v={hash}\", \
             plain: include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/static/\", {name:?}))"
        )?;
        let is_compressed = COMPRESSED.iter().any(|ending| name.ends_with(ending));
        for (coding, compress) in CODINGS {
            let compressed = if is_compressed { Vec::new() } else { compress(&plain)? };
            if is_compressed || compressed.len() >= plain.len() {
                write!(table, ", {coding}: None")?;
                continue;
            }
            let compressed_name = format!("{hash}.{coding}");
            std::fs::write(out_dir.join(&compressed_name), compressed)?;
            write!(
                table,
                ", {coding}: Some(include_bytes!(concat!(env!(\"OUT_DIR\"), \"/\", {compressed_name:?})))"
            )?;
        }
        table.push_str(" },\n");
    }
    table.push(']');
    std::fs::write(out_dir.join("assets.rs"), table)?;
    Ok(())
}

type Compress = fn(&[u8]) -> std::io::Result<Vec<u8>>;

/// The content codings, each at its highest level: this is done once.
const CODINGS: [(&str, Compress); 3] = [
    ("br", |plain| {
        let mut compressed = Vec::new();
        brotli::CompressorWriter::new(&mut compressed, 4096, 11, 22).write_all(plain)?;
        Ok(compressed)
    }),
    ("zstd", |plain| zstd::encode_all(plain, 19)),
    ("gzip", |plain| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(plain)?;
        encoder.finish()
    }),
];

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { collect(&path, files)? } else { files.push(path) }
    }
    Ok(())
}
