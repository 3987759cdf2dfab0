//! The root id of a plugin: the property `plugin_root_id`.
//!
//! Two SDKs find a plugin's contexts by it. With an id that the plugin has not registered, contexts
//! of the C++ SDK do nothing, and the AssemblyScript SDK ends the instance. So an id that was not
//! given by the operator is found by trial, as [`trial`](crate::trial) says.

use std::fmt;
use std::sync::OnceLock;

use super::trial::Verdict;
use super::wasm::mentions::mentions;

/// The root id of a plugin, or the ids of which one is to be chosen.
#[derive(Debug)]
pub struct RootId {
    /// Tried in this order. There is at least one.
    candidates: Vec<String>,
    /// Whether the plugin may ask for its root id: only then are ids tried.
    is_asked_for: bool,
    chosen: OnceLock<usize>,
}

impl RootId {
    /// The property's path, which a module has in its data that asks for it.
    pub const PROPERTY: &str = "plugin_root_id";

    /// The root id that the operator gave to the plugin of this module file.
    pub fn given(id: &str, module: &[u8]) -> Self {
        Self::given_if_asked(id, mentions(module, Self::PROPERTY))
    }

    /// Does the same for a module that is known to have the property's name in it, or not to.
    pub fn given_if_asked(id: &str, is_asked_for: bool) -> Self {
        Self::of(vec![id.to_owned()], is_asked_for)
    }

    /// The root id of a plugin without one: the empty id, as in Envoy, or else the plugin's name.
    pub fn to_find(name: &str, module: &[u8]) -> Self {
        Self::to_find_if_asked(name, mentions(module, Self::PROPERTY))
    }

    /// Does the same for a module that is known to have the property's name in it, or not to.
    pub fn to_find_if_asked(name: &str, is_asked_for: bool) -> Self {
        Self::of(vec![String::new(), name.to_owned()], is_asked_for)
    }

    fn of(candidates: Vec<String>, is_asked_for: bool) -> Self {
        Self { candidates, is_asked_for, chosen: OnceLock::new() }
    }

    /// The chosen id; before one was chosen, the first candidate.
    pub fn as_str(&self) -> &str {
        &self.candidates[self.chosen.get().copied().unwrap_or_default()]
    }

    /// Whether the plugin may ask for its root id. Of a plugin that does not, every id is as good.
    pub fn is_asked_for(&self) -> bool {
        self.is_asked_for
    }

    /// Whether an id was chosen already, or need not be.
    pub(crate) fn is_chosen(&self) -> bool {
        !self.is_asked_for || self.chosen.get().is_some()
    }

    /// Chooses the first id with which the plugin acts; else the first that does not end it.
    /// Returns the verdict about the chosen one.
    pub(crate) fn choose(&self, try_id: impl Fn(&str) -> Verdict) -> Verdict {
        let mut best = (0, Verdict::Ends);
        for (index, id) in self.candidates.iter().enumerate() {
            let verdict = try_id(id);
            if verdict > best.1 {
                best = (index, verdict);
            }
            if verdict == Verdict::Acts {
                break;
            }
        }
        let _ = self.chosen.set(best.0);
        best.1
    }
}

/// The candidates: `"" or "name"`.
impl fmt::Display for RootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<_> = self.candidates.iter().map(|id| format!("\"{id}\"")).collect();
        f.write_str(&quoted.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(verdicts: [Verdict; 2]) -> (String, Verdict) {
        let root_id = RootId::to_find("name", RootId::PROPERTY.as_bytes());
        let verdict = root_id.choose(|id| verdicts[usize::from(!id.is_empty())]);
        (root_id.as_str().to_owned(), verdict)
    }

    #[test]
    fn the_first_id_with_which_the_plugin_acts_is_chosen() {
        use Verdict::{Acts, Ends, Nothing};
        for (verdicts, id, verdict) in [
            ([Acts, Acts], "", Acts),
            ([Nothing, Acts], "name", Acts),
            ([Ends, Acts], "name", Acts),
            ([Ends, Nothing], "name", Nothing),
            ([Nothing, Nothing], "", Nothing),
            ([Nothing, Ends], "", Nothing),
            ([Ends, Ends], "", Ends),
        ] {
            assert_eq!(chosen(verdicts), (id.to_owned(), verdict), "{verdicts:?}");
        }
    }

    #[test]
    fn an_id_that_was_given_stays() {
        let root_id = RootId::given("mine", RootId::PROPERTY.as_bytes());
        assert_eq!((root_id.as_str(), root_id.is_chosen()), ("mine", false));
        assert_eq!(root_id.choose(|_| Verdict::Ends), Verdict::Ends);
        assert_eq!((root_id.as_str(), root_id.is_chosen()), ("mine", true));
    }

    #[test]
    fn only_a_module_with_the_name_in_it_asks() {
        assert!(!RootId::to_find("name", b"\0asm").is_asked_for());
        assert!(RootId::to_find("name", b"\0asm plugin_root_id\0").is_asked_for());
        let wide: Vec<u8> = "~plugin_root_id~".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert!(RootId::to_find("name", &wide).is_asked_for());
    }
}
