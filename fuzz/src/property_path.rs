//! Fuzzes the paths of properties.

use proxy_wasm_host::property::PropertyPath;

/// Expects that all ways to read a path agree.
pub fn run(data: &[u8]) {
    let path = PropertyPath::new(data);
    let segments: Vec<_> = path.segments().collect();
    assert_eq!(segments.join(&0), path.as_bytes());
    assert!(data == path.as_bytes() || data == [path.as_bytes(), b"\0"].concat());
    assert_eq!(path.single(), (segments.len() == 1).then_some(segments[0]));

    let (first, rest) = path.split_first();
    assert_eq!(first, segments[0]);
    assert_eq!(rest.map(|rest| rest.segments().collect::<Vec<_>>()).unwrap_or_default(), segments[1..]);
}
