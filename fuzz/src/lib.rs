//! The fuzz targets: each function runs one input, and panics if the module breaks a promise.
//!
//! `fuzz_targets/` gives these functions to libFuzzer. `seeds/` has the first inputs, and those
//! that once led to a defect.

pub mod cache_file;
pub mod config_yaml;
pub mod files;
pub mod grpc_messages;
pub mod grpc_metadata;
pub mod grpc_service;
pub mod header_map;
pub mod hostcalls;
mod input;
pub mod property_path;
pub mod redis_reply;
