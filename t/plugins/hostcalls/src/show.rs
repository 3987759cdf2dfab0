//! How a log line shows bytes.

/// Past this it shows only how many: nginx cuts lines at 2048 bytes.
const SHOWN: usize = 800;

/// Printable, on one line: `""` if empty, cut if long.
pub fn shown(bytes: &[u8]) -> Vec<u8> {
    if bytes.is_empty() {
        return b"\"\"".to_vec();
    }
    let mut shown = String::new();
    for chunk in bytes[..bytes.len().min(SHOWN)].utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\n' | '\r' | '\t' => shown.extend(c.escape_default()),
                c if c.is_ascii_control() => shown += &format!("\\x{:02x}", u32::from(c)),
                c => shown.push(c),
            }
        }
        for byte in chunk.invalid() {
            shown += &format!("\\x{byte:02x}");
        }
    }
    if bytes.len() > SHOWN {
        shown += &format!("… {} bytes", bytes.len());
    }
    shown.into()
}
