//! Generates the wire from `proto/`, without `protoc`.

use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["demo.proto", "health.proto"], ["../../proto"])?;
    #[expect(clippy::disallowed_methods, reason = "cargo tells build scripts so")]
    let out_dir = std::env::var("OUT_DIR")?;
    std::fs::write(format!("{out_dir}/descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .skip_debug(["CreditCardInfo"])
        .codec_path("crate::ShopCodec")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}
