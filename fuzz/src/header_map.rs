//! Fuzzes the wire format of header maps, as a plugin may send it.

use proxy_wasm_host::pairs::{Encoder, Measure, Pairs, PairsBuf};

/// Expects that a parsed map is valid: read, kept and written again, it has the same bytes.
pub fn run(data: &[u8]) {
    let Ok(pairs) = Pairs::parse(data) else { return };
    assert_eq!(pairs.iter().count(), pairs.len());
    assert_eq!(pairs.is_empty(), pairs.iter().next().is_none());
    for (name, _) in pairs {
        let (_, first) = pairs.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).expect("its own name");
        assert_eq!(pairs.get(name), Some(first));
    }

    let kept = PairsBuf::from_iter(pairs);
    let mut measure = Measure::default();
    kept.iter().for_each(|(name, value)| measure.add(name, value));
    let mut written = vec![0xaa; measure.size()];
    let mut encoder = Encoder::new(&mut written, measure).expect("room for what was measured");
    kept.iter().for_each(|(name, value)| encoder.push(name, value));
    encoder.finish().expect("what was measured");
    // An empty map has two shorter forms.
    assert_eq!(written, if pairs.is_empty() { b"\0\0\0\0" } else { data });
}
