//! Envoy's functions whose arguments are messages of Protocol Buffers. The messages follow those in
//! Envoy's `source/extensions/common/wasm/ext`.

use prost::Message;

use crate::abi::Status;
use crate::host::{Hash, Host, Key, Properties, Result};
use crate::limits::foreign_functions::{KEY, SIGNED};
use crate::limits::{DECLARED_PROPERTIES, PROPERTY_PATH};
use crate::property::PropertyPath;
use crate::state::VmState;

#[derive(Clone, PartialEq, Message)]
struct SetEnvoyFilterStateArguments {
    #[prost(string, tag = "1")]
    path: String,
    #[prost(string, tag = "2")]
    value: String,
}

/// `type`, `schema` and `span` change nothing here.
#[derive(Clone, PartialEq, Message)]
struct DeclarePropertyArguments {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(bool, tag = "2")]
    readonly: bool,
}

#[derive(Clone, PartialEq, Message)]
struct VerifySignatureArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    public_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    signature: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    text: Vec<u8>,
    #[prost(string, tag = "5")]
    public_key_pem: String,
}

#[derive(Clone, PartialEq, Message)]
struct VerifySignatureResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(string, tag = "2")]
    error: String,
}

#[derive(Clone, PartialEq, Message)]
struct SignArguments {
    #[prost(string, tag = "1")]
    hash_function: String,
    #[prost(bytes = "vec", tag = "2")]
    private_key: Vec<u8>,
    #[prost(bytes = "vec", tag = "3")]
    text: Vec<u8>,
    #[prost(string, tag = "4")]
    private_key_pem: String,
}

#[derive(Clone, PartialEq, Message)]
struct SignResult {
    #[prost(bool, tag = "1")]
    result: bool,
    #[prost(bytes = "vec", tag = "2")]
    signature: Vec<u8>,
    #[prost(string, tag = "3")]
    error: String,
}

fn decode<M: Message + Default>(arguments: &[u8]) -> Result<M> {
    let bytes = Some(arguments).filter(|bytes| bytes.len() <= SIGNED + KEY);
    bytes.and_then(|bytes| M::decode(bytes).ok()).ok_or(Status::BadArgument)
}

/// Keeps a value as the property `filter_state.PATH`.
pub fn set_filter_state<H: Host>(state: &mut VmState<H>, arguments: &[u8]) -> Result<Vec<u8>> {
    let arguments: SetEnvoyFilterStateArguments = decode(arguments)?;
    if arguments.path.is_empty() || arguments.path.len() > PROPERTY_PATH {
        return Err(Status::NotFound);
    }
    let path = [b"filter_state\0", arguments.path.as_bytes()].concat();
    state.stream()?.set_property(PropertyPath::new(&path), arguments.value.as_bytes())?;
    Ok(Vec::new())
}

/// Declares a property that the plugin may set. A `readonly` one can be set once in a request.
pub fn declare_property<H: Host>(state: &mut VmState<H>, arguments: &[u8]) -> Result<Vec<u8>> {
    let arguments: DeclarePropertyArguments = decode(arguments)?;
    if arguments.name.len() > PROPERTY_PATH || state.declared_properties.len() >= DECLARED_PROPERTIES {
        return Err(Status::BadArgument);
    }
    let key = (state.contexts.origin().plugin_context, arguments.name.into_bytes());
    match state.declared_properties.insert(key.clone(), arguments.readonly) {
        None => Ok(Vec::new()),
        // The first declaration stays.
        Some(readonly) => {
            state.declared_properties.insert(key, readonly);
            Err(Status::BadArgument)
        }
    }
}

pub fn verify_signature<H: Host>(host: &H, arguments: &[u8]) -> Result<Vec<u8>> {
    let arguments: VerifySignatureArguments = decode(arguments)?;
    let key = key(&arguments.public_key, &arguments.public_key_pem)?;
    let hash = Hash::of_name(&arguments.hash_function);
    let result = host.verify_signature(hash, key, &arguments.signature, &arguments.text)?;
    let error = if result { String::new() } else { error(hash, &arguments.hash_function, "verify") };
    Ok(VerifySignatureResult { result, error }.encode_to_vec())
}

pub fn sign<H: Host>(host: &H, arguments: &[u8]) -> Result<Vec<u8>> {
    let arguments: SignArguments = decode(arguments)?;
    let key = key(&arguments.private_key, &arguments.private_key_pem)?;
    let hash = Hash::of_name(&arguments.hash_function);
    let signature = host.sign(hash, key, &arguments.text)?;
    let error = if signature.is_some() { String::new() } else { error(hash, &arguments.hash_function, "sign") };
    let result = signature.is_some();
    Ok(SignResult { result, signature: signature.unwrap_or_default(), error }.encode_to_vec())
}

/// The key, in exactly one of its two forms.
fn key<'a>(der: &'a [u8], pem: &'a str) -> Result<Key<'a>> {
    match (der, pem) {
        (der, "") if (1..=KEY).contains(&der.len()) => Ok(Key::Der(der)),
        ([], pem) if (1..=KEY).contains(&pem.len()) => Ok(Key::Pem(pem.as_bytes())),
        _ => Err(Status::BadArgument),
    }
}

fn error(hash: Option<Hash>, name: &str, verb: &str) -> String {
    match hash {
        Some(_) => format!("Failed to {verb} digest. Error code: 0"),
        None => format!("{name} is not supported."),
    }
}
