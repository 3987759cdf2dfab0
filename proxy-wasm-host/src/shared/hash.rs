//! Hashes of names, each name in a scope.

use std::hash::{BuildHasher, DefaultHasher, Hasher, RandomState};

/// A number that nobody outside knows, so that an attacker who chooses the keys cannot make them
/// collide.
pub fn seed() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// The hash of a name in a scope.
pub fn hash(seed: u64, scope: &[u8], name: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(seed);
    hasher.write_usize(scope.len());
    hasher.write(scope);
    hasher.write(name);
    hasher.finish()
}
