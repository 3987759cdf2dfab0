//! `ngx_event_openssl.h`: TLS for connections to other servers.

use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ptr;
use std::task::{Context, Poll};

use nginx_sys::{self as sys, SSL, ngx_ssl_t};

use crate::connection::{Connection, on_handshake};
use crate::live::zeroed;
use crate::{Conf, rc, string};

/// Empties OpenSSL's queue of errors. nginx takes what is in it for an error of the connection that it
/// serves next: it logs an alert, and may close that connection.
pub(crate) fn forget_errors() {
    // SAFETY: the queue is the thread's.
    unsafe { sys::ERR_clear_error() }
}

/// The trusted certificates and the settings for TLS: an `SSL_CTX`.
pub struct Tls {
    ssl: ngx_ssl_t,
}

/// The requirements for a server's certificate.
#[derive(Clone, Debug)]
pub struct Verify<'a> {
    /// Whether any certificate is checked.
    pub enabled: bool,
    /// The most certificates that may stand between the server's and a trusted one.
    pub depth: u32,
    /// A file of trusted certificates; `None` uses those of the system.
    pub trusted: Option<&'a [u8]>,
}

/// Why TLS with a server failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// The certificate is valid, but not for this server.
    HostMismatch,
    /// The certificate is not valid; the text is OpenSSL's.
    Certificate(String),
    /// The handshake did not succeed; nginx has logged OpenSSL's reason.
    Handshake,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HostMismatch => f.write_str("certificate host mismatch"),
            Self::Certificate(reason) => write!(f, "certificate verify failed: {reason}"),
            Self::Handshake => f.write_str("TLS handshake failed"),
        }
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Loads certificates while nginx reads its configuration, with the rights of the master.
    /// `None` if that fails; nginx has logged why.
    pub fn new(cf: Conf, verify: &Verify<'_>) -> Option<Self> {
        let mut this = Self { ssl: zeroed() };
        this.ssl.log = cf.log().as_ptr();
        let protocols = sys::NGX_SSL_TLSv1_2 | sys::NGX_SSL_TLSv1_3;
        // A task may move its data between two attempts to send, and may send a part of it.
        let mode = sys::SSL_MODE_ENABLE_PARTIAL_WRITE | sys::SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
        // SAFETY: the structure is this module's.
        if unsafe { sys::ngx_ssl_create(&raw mut this.ssl, protocols as _, ptr::null_mut()) } != rc::OK {
            return None;
        }
        // SAFETY: `ngx_ssl_create` made the context.
        unsafe { sys::SSL_CTX_ctrl(this.ssl.ctx, sys::SSL_CTRL_MODE as _, mode as _, ptr::null_mut()) };
        // SAFETY: as above.
        unsafe { sys::SSL_CTX_set_verify_depth(this.ssl.ctx, verify.depth as c_int) };
        if verify.enabled {
            this.trust(cf, verify)?;
        }
        Some(this)
    }

    fn trust(&mut self, cf: Conf, verify: &Verify<'_>) -> Option<()> {
        let Some(file) = verify.trusted else {
            // SAFETY: `ngx_ssl_create` made the context.
            unsafe { sys::SSL_CTX_set_default_verify_paths(self.ssl.ctx) };
            forget_errors();
            return Some(());
        };
        let mut file = cf.pool().copy_terminated(file).ok()?;
        let (ssl, depth) = (&raw mut self.ssl, verify.depth as _);
        // SAFETY: as above; the parser is nginx's, and the name ends with a zero.
        let loaded = unsafe { sys::ngx_ssl_trusted_certificate(cf.as_ptr(), ssl, &raw mut file, depth) };
        (loaded == rc::OK).then_some(())
    }

    /// Turns a connection into a TLS connection to the server `name`. `verify` says whether its
    /// certificate is checked, for which this must have been made so that any is. Offers `protocols` by ALPN,
    /// in its wire format; an empty list offers none.
    ///
    /// # Errors
    ///
    /// When the handshake fails, or the server's certificate is not valid for that name.
    pub async fn handshake(
        &self,
        connection: &mut Connection,
        name: &str,
        verify: bool,
        protocols: &[u8],
    ) -> Result<(), TlsError> {
        let prepared = self.prepare(connection, name, protocols);
        forget_errors();
        prepared.ok_or(TlsError::Handshake)?;
        let mut started = false;
        poll_fn(|cx| poll_handshake(connection, &mut started, cx)).await?;
        connection.take_back_events();
        if verify { check(connection) } else { Ok(()) }
    }

    fn prepare(&self, connection: &Connection, name: &str, protocols: &[u8]) -> Option<()> {
        let c = connection.as_ptr();
        // The log from the configuration no longer exists.
        let mut own = ngx_ssl_t { log: connection.log(), ..self.ssl };
        // SAFETY: the connection is open and has a pool; nginx only reads the settings, and keeps
        // its own reference to the context.
        if unsafe { sys::ngx_ssl_create_connection(&raw mut own, c, sys::NGX_SSL_CLIENT as _) } != rc::OK {
            return None;
        }
        let ssl = connection.ssl()?.get().connection;
        if !protocols.is_empty() {
            // SAFETY: OpenSSL copies the protocols.
            let refused = unsafe { sys::SSL_set_alpn_protos(ssl, protocols.as_ptr(), protocols.len() as _) };
            if refused != 0 {
                return None;
            }
        }
        expect_name(ssl, name)
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: the context is this module's, or null; connections have their own references.
        unsafe { sys::ngx_ssl_cleanup_ctx((&raw mut self.ssl).cast()) }
    }
}

/// Checks the certificate after the handshake, as nginx does: the handshake itself always goes
/// on, so that the fault can be named.
fn check(connection: &Connection) -> Result<(), TlsError> {
    let ssl = connection.ssl().ok_or(TlsError::Handshake)?.get().connection;
    // SAFETY: the connection has finished its handshake.
    let result = unsafe { sys::SSL_get_verify_result(ssl) };
    match result as u32 {
        sys::X509_V_OK => Ok(()),
        sys::X509_V_ERR_HOSTNAME_MISMATCH | sys::X509_V_ERR_IP_ADDRESS_MISMATCH => Err(TlsError::HostMismatch),
        _ => {
            // SAFETY: OpenSSL has a text for each result.
            let text = unsafe { sys::X509_verify_cert_error_string(result) };
            // SAFETY: the text is static.
            let text = unsafe { CStr::from_ptr(text) };
            Err(TlsError::Certificate(text.to_string_lossy().into_owned()))
        }
    }
}

/// The protocol that the server chose by ALPN; empty if it chose none.
pub fn alpn_selected(connection: &Connection) -> &[u8] {
    let Some(ssl) = connection.ssl() else {
        return &[];
    };
    let (mut data, mut len) = (ptr::null(), 0);
    // SAFETY: the connection is open.
    unsafe { sys::SSL_get0_alpn_selected(ssl.get().connection, &raw mut data, &raw mut len) };
    // SAFETY: the name lives as long as the connection.
    unsafe { string::bytes(sys::ngx_str_t { len: len as usize, data: data.cast_mut() }) }
}

/// Makes OpenSSL ask for a server by its name, and expect the name in the server's certificate.
fn expect_name(ssl: *mut SSL, name: &str) -> Option<()> {
    // SAFETY: a TLS connection that `ngx_ssl_create_connection` made.
    let wanted = unsafe { sys::SSL_get0_param(ssl) };
    // SNI never names an address: RFC 6066, section 3.
    let expect_ip = |ip: &[u8]| {
        // SAFETY: OpenSSL copies the address.
        unsafe { sys::X509_VERIFY_PARAM_set1_ip(wanted, ip.as_ptr(), ip.len()) }
    };
    let done = match name.parse() {
        Ok(IpAddr::V4(ip)) => expect_ip(&ip.octets()),
        Ok(IpAddr::V6(ip)) => expect_ip(&ip.octets()),
        Err(_) => {
            let c_name = CString::new(name).ok()?;
            let (command, kind) = (sys::SSL_CTRL_SET_TLSEXT_HOSTNAME, sys::TLSEXT_NAMETYPE_host_name);
            // SAFETY: OpenSSL copies the name.
            let asked = unsafe { sys::SSL_ctrl(ssl, command as _, kind as _, c_name.as_ptr().cast_mut().cast()) };
            // SAFETY: as above.
            let expected = unsafe { sys::X509_VERIFY_PARAM_set1_host(wanted, c_name.as_ptr(), name.len()) };
            if asked == 1 { expected } else { 0 }
        }
    };
    (done == 1).then_some(())
}

fn poll_handshake(connection: &mut Connection, started: &mut bool, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
    if connection.ssl().is_some_and(|ssl| ssl.get().handshaked() != 0) {
        return Poll::Ready(Ok(()));
    }
    if *started {
        return Poll::Ready(Err(TlsError::Handshake));
    }
    *started = true;
    // SAFETY: `prepare` made this a TLS connection.
    match unsafe { sys::ngx_ssl_handshake(connection.as_ptr()) } {
        rc::OK => Poll::Ready(Ok(())),
        rc::AGAIN => {
            // During the handshake nginx drives the connection itself, and calls the handler when
            // the handshake is over.
            if let Some(mut ssl) = connection.ssl() {
                ssl.get_mut().handler = Some(on_handshake);
            }
            connection.wait_for_reading(cx);
            Poll::Pending
        }
        _ => Poll::Ready(Err(TlsError::Handshake)),
    }
}
