//! Compiles the files below `static` in: each with its hash, and texts compressed in the forms that browsers take.

use std::error::Error;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use flate2::Crc;

/// The endings of files that are compressed already.
const COMPRESSED: &[&str] = &["jpg", "png"];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=static");
    #[expect(clippy::disallowed_methods, reason = "cargo tells build scripts so")]
    let out_dir = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut paths = Vec::new();
    collect(Path::new("static"), &mut paths)?;
    let mut files: Vec<File> =
        paths.iter().map(|path| File::read(path)).collect::<Result<_, _>>()?;
    // Sorted as they are looked up: most names differ in their length already.
    files.sort_by(|a, b| (a.name.len(), &a.name).cmp(&(b.name.len(), &b.name)));
    let mut table = "&[\n".to_owned();
    for File { name, plain, hash, link } in &files {
        let drawing = name.strip_suffix(".jpg").map(|name| format!("{name}.svg"));
        let drawing = drawing.and_then(|name| files.iter().find(|file| file.name == name));
        let drawing = drawing.map(|drawing| &drawing.link);
        // Below folders that cargo names when the table is compiled, so that a build folder can be moved or kept in a cache.
        write!(
            table,
            "Asset {{ path: {name:?}, hash: {hash:?}, link: {link:?}, drawing: {drawing:?}, \
             plain: include_bytes!(concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/static/\", {name:?}))"
        )?;
        let is_compressed = COMPRESSED.iter().any(|ending| name.ends_with(ending));
        for (coding, compress) in CODINGS {
            let compressed = if is_compressed { Vec::new() } else { compress(plain)? };
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

/// A file below `static`.
struct File {
    name: String,
    plain: Vec<u8>,
    /// Of its bytes, in hexadecimal digits.
    hash: String,
    /// The path and query of the link that may be kept for good.
    link: String,
}

impl File {
    fn read(path: &Path) -> Result<Self, Box<dyn Error>> {
        let name = path.strip_prefix("static")?.to_str().ok_or("a name that is not UTF-8")?;
        let plain = std::fs::read(path)?;
        // The same with every version of Rust.
        let mut crc = Crc::new();
        crc.update(&plain);
        let hash = format!("{:08x}", crc.sum());
        let link = format!("/static/{name}?v={hash}");
        Ok(Self { name: name.to_owned(), plain, hash, link })
    }
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
