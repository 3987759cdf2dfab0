//! Header maps on the wire, and how a log line shows them.
//!
//! Spec: "Serialization". The reader is strict: a map that is not exactly as written there is a panic.

pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

pub fn serialize(pairs: &Pairs) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut bytes = Vec::new();
    bytes.extend((pairs.len() as u32).to_le_bytes());
    for (key, value) in pairs {
        bytes.extend((key.len() as u32).to_le_bytes());
        bytes.extend((value.len() as u32).to_le_bytes());
    }
    for part in pairs.iter().flat_map(|(key, value)| [key, value]) {
        bytes.extend(part);
        bytes.push(0);
    }
    bytes
}

pub fn deserialize(bytes: &[u8]) -> Pairs {
    if bytes.is_empty() || bytes == [0] {
        return Pairs::new();
    }
    let mut reader = Reader(bytes);
    let count = reader.number();
    let sizes: Vec<_> = (0..count).map(|_| (reader.number(), reader.number())).collect();
    let pairs = sizes.into_iter().map(|(key, value)| (reader.part(key), reader.part(value))).collect();
    assert!(reader.0.is_empty(), "{} bytes after the map", reader.0.len());
    pairs
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn bytes(&mut self, count: usize) -> &[u8] {
        let (head, tail) = self.0.split_at_checked(count).expect("the map is cut short");
        self.0 = tail;
        head
    }

    fn number(&mut self) -> u32 {
        u32::from_le_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    fn part(&mut self, size: u32) -> Vec<u8> {
        let part = self.bytes(size as usize).to_vec();
        assert_eq!(self.bytes(1), [0], "no NUL after a name or value of the map");
        part
    }
}

/// `name: value | name: value`
pub fn show(pairs: &Pairs) -> Vec<u8> {
    let shown: Vec<_> = pairs.iter().map(|(key, value)| [key, &b": "[..], value].concat()).collect();
    shown.join(&b" | "[..])
}
