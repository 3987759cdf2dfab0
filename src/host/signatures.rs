//! The foreign functions `sign` and `verify_signature`, by the OpenSSL that nginx is linked with.

use ngx_bindings::signature::{PrivateKey, PublicKey};
use proxy_wasm_host::abi::Status;
use proxy_wasm_host::host::{Hash, Key, Result, Signatures};

use crate::context::NginxHost;

impl Signatures for NginxHost {
    fn verify_signature(&self, hash: Option<Hash>, key: Key<'_>, signature: &[u8], text: &[u8]) -> Result<bool> {
        let key = match key {
            Key::Der(der) => PublicKey::from_der(der),
            Key::Pem(pem) => PublicKey::from_pem(pem),
        };
        let key = key.ok_or(Status::BadArgument)?;
        Ok(hash.is_some_and(|hash| key.verifies(digest(hash), signature, text)))
    }

    fn sign(&self, hash: Option<Hash>, key: Key<'_>, text: &[u8]) -> Result<Option<Vec<u8>>> {
        let key = match key {
            Key::Der(der) => PrivateKey::from_der(der),
            Key::Pem(pem) => PrivateKey::from_pem(pem),
        };
        let key = key.ok_or(Status::BadArgument)?;
        Ok(hash.and_then(|hash| key.sign(digest(hash), text)))
    }
}

/// The name that OpenSSL has for a hash.
fn digest(hash: Hash) -> &'static std::ffi::CStr {
    match hash {
        Hash::Sha1 => c"SHA1",
        Hash::Sha224 => c"SHA224",
        Hash::Sha256 => c"SHA256",
        Hash::Sha384 => c"SHA384",
        Hash::Sha512 => c"SHA512",
    }
}
