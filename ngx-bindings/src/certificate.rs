//! OpenSSL's certificates, of either end of a TLS connection.

use std::ffi::{c_int, c_long, c_void};
use std::ptr::{self, NonNull};

use nginx_sys::{self as sys, BIO, GENERAL_NAMES, SSL, X509, ngx_connection_t, ngx_str_t};

use crate::live::Live;
use crate::ssl::forget_errors;
use crate::{Request, string};

// Defined in ssl_bits.c.
unsafe extern "C" {
    fn ngx_bindings_ssl_peer_certificate(ssl: *const SSL) -> *mut X509;
}

/// A certificate.
#[derive(Debug)]
pub struct Certificate(NonNull<X509>);

impl Drop for Certificate {
    fn drop(&mut self) {
        // SAFETY: a reference of this handle's own.
        unsafe { sys::X509_free(self.0.as_ptr()) };
        // What the other end made of its certificate may not be what OpenSSL expects.
        forget_errors();
    }
}

impl Certificate {
    /// The subject's distinguished name, as RFC 2253 writes it.
    pub fn subject(&self) -> Option<Vec<u8>> {
        // SAFETY: the certificate is valid, and its name lives as long.
        let name = unsafe { sys::X509_get_subject_name(self.0.as_ptr()) };
        let text = Text::new()?;
        // SAFETY: both are valid.
        let printed = unsafe { sys::X509_NAME_print_ex(text.0.as_ptr(), name, 0, sys::XN_FLAG_RFC2253 as _) };
        (printed >= 0).then(|| text.read())
    }

    /// The first DNS name of the subject's alternative names.
    pub fn dns_name(&self) -> Option<Vec<u8>> {
        self.first_name(sys::GEN_DNS as c_int)
    }

    /// The first URI of the subject's alternative names.
    pub fn uri(&self) -> Option<Vec<u8>> {
        self.first_name(sys::GEN_URI as c_int)
    }

    fn first_name(&self, kind: c_int) -> Option<Vec<u8>> {
        let nid = sys::NID_subject_alt_name as c_int;
        // SAFETY: the certificate is valid.
        let names = unsafe { sys::X509_get_ext_d2i(self.0.as_ptr(), nid, ptr::null_mut(), ptr::null_mut()) };
        Names(NonNull::new(names.cast())?).first(kind)
    }

    /// The SHA-256 digest of the certificate.
    pub fn sha256(&self) -> Option<[u8; 32]> {
        let mut digest = [0; 32];
        let mut len = 0;
        // SAFETY: the function is OpenSSL's own, and static.
        let kind = unsafe { sys::EVP_sha256() };
        // SAFETY: a SHA-256 digest has 32 bytes.
        let done = unsafe { sys::X509_digest(self.0.as_ptr(), kind, digest.as_mut_ptr(), &raw mut len) };
        (done == 1 && len == 32).then_some(digest)
    }
}

/// Alternative names, which OpenSSL has decoded.
struct Names(NonNull<GENERAL_NAMES>);

impl Drop for Names {
    fn drop(&mut self) {
        // SAFETY: made by `X509_get_ext_d2i` for this handle.
        unsafe { sys::GENERAL_NAMES_free(self.0.as_ptr()) }
    }
}

impl Names {
    fn first(&self, kind: c_int) -> Option<Vec<u8>> {
        let stack = self.0.as_ptr().cast();
        // SAFETY: the names are a stack of OpenSSL's.
        let count = unsafe { sys::OPENSSL_sk_num(stack) };
        (0..count).find_map(|place| {
            // SAFETY: there are as many names.
            let name = unsafe { sys::OPENSSL_sk_value(stack, place) };
            let mut found = 0;
            // SAFETY: the stack is of names.
            let value = unsafe { sys::GENERAL_NAME_get0_value(name.cast(), &raw mut found) };
            if found != kind || value.is_null() {
                return None;
            }
            // SAFETY: names of DNS and URIs are strings.
            let len = unsafe { sys::ASN1_STRING_length(value.cast()) };
            // SAFETY: as above.
            let data = unsafe { sys::ASN1_STRING_get0_data(value.cast()) };
            // SAFETY: a string has as many bytes.
            Some(unsafe { string::bytes(ngx_str_t { len: len as usize, data: data.cast_mut() }) }.to_vec())
        })
    }
}

/// Memory that OpenSSL writes text to.
struct Text(NonNull<BIO>);

impl Drop for Text {
    fn drop(&mut self) {
        // SAFETY: made in `new`.
        unsafe { sys::BIO_free(self.0.as_ptr()) };
    }
}

impl Text {
    fn new() -> Option<Self> {
        // SAFETY: the method is OpenSSL's own, and static.
        let method = unsafe { sys::BIO_s_mem() };
        // SAFETY: as above.
        NonNull::new(unsafe { sys::BIO_new(method) }).map(Self)
    }

    fn read(&self) -> Vec<u8> {
        let mut data: *mut c_void = ptr::null_mut();
        let command = sys::BIO_CTRL_INFO as c_int;
        // SAFETY: the command gives the address of what was written, and its length.
        let len: c_long = unsafe { sys::BIO_ctrl(self.0.as_ptr(), command, 0, (&raw mut data).cast()) };
        let len = usize::try_from(len).unwrap_or(0);
        // SAFETY: the bytes are there until the memory is freed.
        unsafe { string::bytes(ngx_str_t { len, data: data.cast() }) }.to_vec()
    }
}

/// The connection to an upstream's server.
#[derive(Clone, Copy)]
pub struct UpstreamConnection<'r>(Live<'r, ngx_connection_t>);

impl<'r> UpstreamConnection<'r> {
    /// This end's address, with its port.
    pub fn local_address(self) -> Option<Vec<u8>> {
        // `NGX_SOCKADDR_STRLEN` is 113.
        let mut text = [0; 128];
        let mut written = ngx_str_t { len: text.len(), data: text.as_mut_ptr() };
        // SAFETY: the connection is open, and the text has room for any address.
        let rc = unsafe { sys::ngx_connection_local_sockaddr(self.0.as_ptr(), &raw mut written, 1) };
        (rc == crate::rc::OK).then(|| text[..written.len].to_vec())
    }

    /// The version of TLS.
    pub fn tls_version(self) -> Option<&'r [u8]> {
        // SAFETY: the connection is open.
        let version = unsafe { sys::SSL_get_version(ssl(self.0)?) };
        // SAFETY: the text is static.
        Some(unsafe { std::ffi::CStr::from_ptr(version) }.to_bytes())
    }

    /// The certificate that this end has shown.
    pub fn certificate(self) -> Option<Certificate> {
        own(ssl(self.0)?)
    }

    /// The server's certificate.
    pub fn peer_certificate(self) -> Option<Certificate> {
        peer(ssl(self.0)?)
    }
}

impl<'r> Request<'r> {
    /// The certificate that nginx has shown to the client.
    pub fn certificate(self) -> Option<Certificate> {
        own(ssl(self.connection())?)
    }

    /// The client's certificate, whether it is trusted or not.
    pub fn client_certificate(self) -> Option<Certificate> {
        peer(ssl(self.connection())?)
    }

    /// The connection to the upstream's server, while nginx has one.
    pub fn upstream_connection(self) -> Option<UpstreamConnection<'r>> {
        /// The first members of `ngx_http_upstream_t`: two handlers, and the peer, which begins with
        /// its connection. They are the same in all builds; those behind them are not.
        #[repr(C)]
        struct Upstream {
            handlers: [*mut c_void; 2],
            connection: *mut ngx_connection_t,
        }
        const {
            let peer = std::mem::offset_of!(sys::ngx_http_upstream_t, peer);
            let connection = std::mem::offset_of!(sys::ngx_peer_connection_t, connection);
            assert!(peer + connection == std::mem::offset_of!(Upstream, connection));
        }
        // SAFETY: null, or the request's own.
        let upstream = unsafe { self.raw().upstream.cast::<Upstream>().as_ref() }?;
        // SAFETY: nginx clears the pointer when it gives up the connection.
        unsafe { Live::new(upstream.connection) }.map(UpstreamConnection)
    }
}

fn ssl(connection: Live<'_, ngx_connection_t>) -> Option<*mut SSL> {
    // SAFETY: null, or the connection's own.
    let ssl = unsafe { connection.get().ssl.as_ref() }?;
    Some(ssl.connection)
}

fn own(ssl: *mut SSL) -> Option<Certificate> {
    // SAFETY: the connection is open.
    let certificate = NonNull::new(unsafe { sys::SSL_get_certificate(ssl) })?;
    // SAFETY: the certificate is valid; the handle gets a reference of its own.
    (unsafe { sys::X509_up_ref(certificate.as_ptr()) } == 1).then_some(Certificate(certificate))
}

fn peer(ssl: *mut SSL) -> Option<Certificate> {
    // SAFETY: the connection is open; the reference is the handle's.
    NonNull::new(unsafe { ngx_bindings_ssl_peer_certificate(ssl) }).map(Certificate)
}
