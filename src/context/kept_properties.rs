//! Properties that plugins set for each other and for nginx. They last as long as the request.

use std::cell::RefCell;
use std::collections::HashMap;

/// The properties of one request that are not variables of nginx.
#[derive(Debug, Default)]
pub struct KeptProperties(RefCell<Properties>);

#[derive(Debug, Default)]
struct Properties {
    values: Vec<Vec<u8>>,
    /// The place of a path's value.
    by_path: HashMap<Vec<u8>, usize>,
    /// The place of the value that nginx reads under a variable's name.
    by_name: HashMap<Vec<u8>, usize>,
}

impl KeptProperties {
    /// Sets the value of a path. A new path is kept twice.
    pub fn set(&self, path: &[u8], value: &[u8]) {
        let mut properties = self.0.borrow_mut();
        let Properties { values, by_path, by_name } = &mut *properties;
        if let Some(&place) = by_path.get(path) {
            values[place] = value.to_vec();
            return;
        }
        by_path.insert(path.to_vec(), values.len());
        by_name.entry(as_in_variable(path)).or_insert(values.len());
        values.push(value.to_vec());
    }

    /// Returns the value of a path.
    pub fn get(&self, path: &[u8]) -> Option<Vec<u8>> {
        let properties = self.0.borrow();
        Some(properties.values[*properties.by_path.get(path)?].clone())
    }

    /// Returns the value of the path that this name stands for in `$wasm_property_NAME`. If several
    /// paths have the same name there, the first one that was set counts.
    pub fn by_variable(&self, name: &[u8]) -> Option<Vec<u8>> {
        let properties = self.0.borrow();
        Some(properties.values[*properties.by_name.get(&as_in_variable(name))?].clone())
    }
}

/// A path as it stands in a variable's name, which nginx reads without case.
fn as_in_variable(path: &[u8]) -> Vec<u8> {
    let in_variable = |&byte: &u8| if byte.is_ascii_alphanumeric() { byte.to_ascii_lowercase() } else { b'_' };
    path.iter().map(in_variable).collect()
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

    #[test]
    fn of_paths_with_one_name_the_first_counts() {
        let properties = KeptProperties::default();
        properties.set(b"a.b", b"1");
        properties.set(b"a\0b", b"2");
        assert_eq!(properties.by_variable(b"a_b"), Some(b"1".to_vec()));
        properties.set(b"a.b", b"3");
        assert_eq!(properties.by_variable(b"A_B"), Some(b"3".to_vec()));
        assert_eq!(properties.get(b"a\0b"), Some(b"2".to_vec()));
    }
}
