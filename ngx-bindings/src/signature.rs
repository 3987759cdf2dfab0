//! Signatures by OpenSSL, with keys that are not trusted: of RSA and of elliptic curves, and with
//! numbers that take no long time.

use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::ptr::{self, NonNull};

use nginx_sys::{self as sys, BIO, EVP_MD, EVP_MD_CTX, EVP_PKEY, pem_password_cb};

use crate::ssl::forget_errors;

/// The largest keys. To sign with one of RSA of that size takes some tens of milliseconds, if its
/// other numbers have the sizes that they should have.
const BITS: c_int = 8192;

// Defined in ssl_bits.c.
unsafe extern "C" {
    fn ngx_bindings_pkey_fits(key: *mut EVP_PKEY, bits: c_int) -> c_int;
}

/// A key that signatures are verified by.
#[derive(Debug)]
pub struct PublicKey(PKey);

/// A key that texts are signed with.
#[derive(Debug)]
pub struct PrivateKey(PKey);

#[derive(Debug)]
struct PKey(NonNull<EVP_PKEY>);

impl Drop for PKey {
    fn drop(&mut self) {
        // SAFETY: made for this handle.
        unsafe { sys::EVP_PKEY_free(self.0.as_ptr()) };
        forget_errors();
    }
}

impl PKey {
    /// Takes a key that OpenSSL has read, if it is one that can be used here.
    fn take(key: *mut EVP_PKEY) -> Option<Self> {
        forget_errors();
        let key = Self(NonNull::new(key)?);
        // SAFETY: the key is valid.
        let fits = unsafe { ngx_bindings_pkey_fits(key.0.as_ptr(), BITS) } == 1;
        fits.then_some(key)
    }

    fn read_pem(
        pem: &[u8],
        read: unsafe extern "C" fn(*mut BIO, *mut *mut EVP_PKEY, pem_password_cb, *mut c_void) -> *mut EVP_PKEY,
    ) -> Option<Self> {
        let len = c_int::try_from(pem.len()).ok()?;
        // SAFETY: OpenSSL only reads the text.
        let text = NonNull::new(unsafe { sys::BIO_new_mem_buf(pem.as_ptr().cast(), len) })?;
        // SAFETY: the text is there until the call has returned.
        let key = unsafe { read(text.as_ptr(), ptr::null_mut(), Some(no_password), ptr::null_mut()) };
        // SAFETY: made above.
        unsafe { sys::BIO_free(text.as_ptr()) };
        Self::take(key)
    }
}

/// Refuses to read an encrypted key: OpenSSL would ask at a terminal, and a key says itself how long
/// decrypting takes.
extern "C" fn no_password(_: *mut c_char, _: c_int, _: c_int, _: *mut c_void) -> c_int {
    -1
}

impl PublicKey {
    /// Reads a SubjectPublicKeyInfo.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let mut at = der.as_ptr();
        // SAFETY: OpenSSL reads as many bytes.
        PKey::take(unsafe { sys::d2i_PUBKEY(ptr::null_mut(), &raw mut at, der.len() as c_long) }).map(Self)
    }

    /// Does the same for its text.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        PKey::read_pem(pem, sys::PEM_read_bio_PUBKEY).map(Self)
    }

    /// Returns whether a signature of a text is right. The name of the digest is OpenSSL's.
    pub fn verifies(&self, digest: &CStr, signature: &[u8], text: &[u8]) -> bool {
        self.try_verify(digest, signature, text).is_some()
    }

    fn try_verify(&self, digest: &CStr, signature: &[u8], text: &[u8]) -> Option<()> {
        let (context, digest, key) = (Context::new()?, by_name(digest)?, (self.0).0.as_ptr());
        let context = context.0.as_ptr();
        // SAFETY: all are valid; the method is chosen by the key.
        let begun = unsafe { sys::EVP_DigestVerifyInit(context, ptr::null_mut(), digest, ptr::null_mut(), key) };
        if begun != 1 {
            return None;
        }
        let (signature, len) = (signature.as_ptr(), signature.len());
        // SAFETY: OpenSSL reads as many bytes of both.
        (unsafe { sys::EVP_DigestVerify(context, signature, len, text.as_ptr(), text.len()) } == 1).then_some(())
    }
}

impl PrivateKey {
    /// Reads a key in PKCS #8.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        let mut at = der.as_ptr();
        // SAFETY: OpenSSL reads as many bytes.
        PKey::take(unsafe { sys::d2i_AutoPrivateKey(ptr::null_mut(), &raw mut at, der.len() as c_long) }).map(Self)
    }

    /// Does the same for its text.
    pub fn from_pem(pem: &[u8]) -> Option<Self> {
        PKey::read_pem(pem, sys::PEM_read_bio_PrivateKey).map(Self)
    }

    /// Signs a text. The name of the digest is OpenSSL's.
    pub fn sign(&self, digest: &CStr, text: &[u8]) -> Option<Vec<u8>> {
        let (context, digest, key) = (Context::new()?, by_name(digest)?, (self.0).0.as_ptr());
        let context = context.0.as_ptr();
        // SAFETY: all are valid; the method is chosen by the key.
        let begun = unsafe { sys::EVP_DigestSignInit(context, ptr::null_mut(), digest, ptr::null_mut(), key) };
        if begun != 1 {
            return None;
        }
        let mut len = 0;
        // SAFETY: without a place for the signature, OpenSSL tells its length.
        if unsafe { sys::EVP_DigestSign(context, ptr::null_mut(), &raw mut len, text.as_ptr(), text.len()) } != 1 {
            return None;
        }
        let mut signature = vec![0; len];
        let place = signature.as_mut_ptr();
        // SAFETY: the place has as many bytes as OpenSSL asked for.
        if unsafe { sys::EVP_DigestSign(context, place, &raw mut len, text.as_ptr(), text.len()) } != 1 {
            return None;
        }
        signature.truncate(len);
        Some(signature)
    }
}

fn by_name(digest: &CStr) -> Option<*const EVP_MD> {
    // SAFETY: a name that ends with a zero.
    let digest = unsafe { sys::EVP_get_digestbyname(digest.as_ptr()) };
    (!digest.is_null()).then_some(digest)
}

/// What OpenSSL keeps while it signs or verifies.
struct Context(NonNull<EVP_MD_CTX>);

impl Context {
    fn new() -> Option<Self> {
        // SAFETY: allocates, and nothing else.
        NonNull::new(unsafe { sys::EVP_MD_CTX_new() }).map(Self)
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        unsafe { sys::EVP_MD_CTX_free(self.0.as_ptr()) };
        forget_errors();
    }
}
