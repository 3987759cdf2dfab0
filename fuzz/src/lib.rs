//! What each fuzz target does with one input: it panics where the module breaks a promise.
//!
//! `fuzz_targets/` gives these functions to libFuzzer. `seeds/` has inputs to start from, and what was found and mended.

pub mod cache_file;
pub mod config_yaml;
pub mod grpc_messages;
pub mod grpc_metadata;
pub mod grpc_service;
pub mod header_map;
pub mod hostcalls;
mod input;
pub mod property_path;
