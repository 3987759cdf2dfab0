//! Properties that plugins set for each other and for nginx. They last as long as the request.

use std::cell::RefCell;

use crate::lazy_box::LazyBox;

/// The properties of one request that are not variables of nginx.
#[derive(Debug, Default)]
pub struct KeptProperties(LazyBox<RefCell<Vec<Property>>>);

#[derive(Debug)]
struct Property {
    path: Vec<u8>,
    value: Vec<u8>,
}

impl KeptProperties {
    /// Sets the value of a path.
    pub fn set(&self, path: &[u8], value: &[u8]) {
        let mut properties = self.0.make().borrow_mut();
        match properties.iter_mut().find(|property| property.path == path) {
            Some(property) => property.value = value.to_vec(),
            None => properties.push(Property { path: path.to_vec(), value: value.to_vec() }),
        }
    }

    /// Returns the value of a path.
    pub fn get(&self, path: &[u8]) -> Option<Vec<u8>> {
        self.find(|known| known == path)
    }

    /// Returns the value of the path that this name stands for in `$wasm_property_NAME`. If several
    /// paths have the same name there, the first one that was set counts.
    pub fn by_variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        let as_in_variable = |bytes: &[u8]| bytes.iter().copied().map(in_variable).collect::<Vec<_>>();
        let name = as_in_variable(name);
        self.find(|path| as_in_variable(path) == name)
    }

    fn find(&self, is_it: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let properties = self.0.get()?.borrow();
        properties.iter().find(|property| is_it(&property.path)).map(|property| property.value.clone())
    }
}

/// A byte of a path as it stands in a variable's name, which nginx reads without case.
fn in_variable(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_path_counts() {
        let properties = KeptProperties::default();
        assert_eq!(properties.get(b"a"), None);
        properties.set(b"a", b"1");
        properties.set(b"a\0b", b"2");
        properties.set(b"a", b"3");
        assert_eq!(properties.get(b"a"), Some(b"3".to_vec()));
        assert_eq!(properties.get(b"a\0b"), Some(b"2".to_vec()));
        assert_eq!(properties.get(b"A"), None);
    }

    #[test]
    fn a_variable_has_letters_digits_and_underscores() {
        let properties = KeptProperties::default();
        properties.set(b"wasm.Tenant\0Id-7", b"1");
        assert_eq!(properties.by_variable(b"wasm_tenant_id_7"), Some(b"1".to_vec()));
        assert_eq!(properties.by_variable(b"wasm_tenant_id_"), None);
        assert_eq!(properties.by_variable(b""), None);
    }
}
