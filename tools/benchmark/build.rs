//! Generates the baselines' own wire, as anybody would who uses tonic and nothing of ours.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["demo.proto"], ["../../proto"])?;
    tonic_prost_build::configure().compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}
