//! Whether a module names something.

use memchr::memmem;

/// Returns whether a module has the name in its data: the C++ SDK has texts as bytes, the
/// AssemblyScript SDK as UTF-16.
pub fn mentions(module: &[u8], name: &str) -> bool {
    let wide: Vec<u8> = name.encode_utf16().flat_map(u16::to_le_bytes).collect();
    memmem::find(module, name.as_bytes()).is_some() || memmem::find(module, &wide).is_some()
}
