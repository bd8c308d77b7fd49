//! Compiles the protos with protox, so that no `protoc` is needed, and writes the descriptor set that reflection,
//! the command line and the tests read.

use prost::Message;
use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    let files = protox::compile(
        ["waypost/v1/redirect_service.proto", "waypost/v1/merchant_service.proto", "waypost/v1/error_reason.proto"],
        ["proto"],
    )?;
    let descriptors = PathBuf::from(env::var("OUT_DIR")?).join("waypost.v1.binpb");
    fs::write(&descriptors, files.encode_to_vec())?;
    // The names are how the command line finds a message's descriptor.
    let mut config = tonic_prost_build::Config::new();
    config.enable_type_names();
    tonic_prost_build::configure().codec_path("crate::proto::SmallBuffers").compile_fds_with_config(files, config)?;
    Ok(())
}
