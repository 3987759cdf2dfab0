//! `ngx_event_openssl.h`: TLS for connections to other servers.

use std::ffi::{CStr, CString, c_int};
use std::fmt;
use std::future::poll_fn;
use std::net::IpAddr;
use std::ptr;
use std::task::{Context, Poll};

use nginx_sys::{self as sys, SSL, ngx_ssl_t};

use crate::connection::{Connection, on_handshake};
use crate::{Conf, Log, rc, string};

/// The trusted certificates and the settings for TLS: an `SSL_CTX`.
pub struct Tls {
    ssl: ngx_ssl_t,
    verify: bool,
}

/// The requirements for a server's certificate.
#[derive(Clone, Debug)]
pub struct Verify<'a> {
    /// Whether the certificate is checked.
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
        // SAFETY: nginx also starts this struct with all zeros.
        let mut this = Self { ssl: unsafe { std::mem::zeroed() }, verify: verify.enabled };
        this.ssl.log = cf.log().as_ptr();
        let protocols = sys::NGX_SSL_TLSv1_2 | sys::NGX_SSL_TLSv1_3;
        // A task may move its data between two attempts to send, and may send a part of it.
        let mode = sys::SSL_MODE_ENABLE_PARTIAL_WRITE | sys::SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER;
        // SAFETY: `ssl` is this module's; the parser is nginx's; the other functions use the
        // context that `ngx_ssl_create` made.
        unsafe {
            if sys::ngx_ssl_create(&raw mut this.ssl, protocols as _, ptr::null_mut()) != rc::OK {
                return None;
            }
            sys::SSL_CTX_ctrl(this.ssl.ctx, sys::SSL_CTRL_MODE as _, mode as _, ptr::null_mut());
            sys::SSL_CTX_set_verify_depth(this.ssl.ctx, verify.depth as c_int);
            match verify.trusted {
                _ if !verify.enabled => {}
                Some(file) => {
                    let mut file = cf.pool().copy(&[file, b"\0"].concat()).ok()?;
                    file.len -= 1;
                    if sys::ngx_ssl_trusted_certificate(
                        cf.as_ptr(),
                        &raw mut this.ssl,
                        &raw mut file,
                        verify.depth as _,
                    ) != rc::OK
                    {
                        return None;
                    }
                }
                None => {
                    sys::SSL_CTX_set_default_verify_paths(this.ssl.ctx);
                }
            }
        }
        Some(this)
    }

    /// Returns whether servers' certificates are checked.
    pub fn verifies(&self) -> bool {
        self.verify
    }

    /// Turns a connection into a TLS connection to the server `name`. Offers `protocols` by ALPN,
    /// in its wire format; an empty list offers none.
    ///
    /// # Errors
    ///
    /// When the handshake fails, or the server's certificate is not valid for that name.
    pub async fn handshake(
        &self,
        connection: &mut Connection,
        name: &str,
        protocols: &[u8],
        log: Log,
    ) -> Result<(), TlsError> {
        self.prepare(connection, name, protocols, log).ok_or(TlsError::Handshake)?;
        let mut started = false;
        poll_fn(|cx| poll_handshake(connection, &mut started, cx)).await?;
        connection.take_back_events();
        self.check(ssl_of(connection))
    }

    fn prepare(&self, connection: &Connection, name: &str, protocols: &[u8], log: Log) -> Option<()> {
        let c_name = CString::new(name).ok()?;
        // SAFETY: the connection is open and has a pool; nginx only reads `ssl`, and keeps its own
        // reference to the context; OpenSSL copies the name and the protocols.
        unsafe {
            // The log from the configuration no longer exists.
            let mut ssl = self.ssl;
            ssl.log = log.as_ptr();
            if sys::ngx_ssl_create_connection(&raw mut ssl, connection.as_ptr(), sys::NGX_SSL_CLIENT as _) != rc::OK {
                return None;
            }
            let ssl = ssl_of(connection);
            if !protocols.is_empty() && sys::SSL_set_alpn_protos(ssl, protocols.as_ptr(), protocols.len() as _) != 0 {
                return None;
            }
            let wanted = sys::SSL_get0_param(ssl);
            let done = match name.parse() {
                // SNI never names an address: RFC 6066, section 3.
                Ok(IpAddr::V4(ip)) => sys::X509_VERIFY_PARAM_set1_ip(wanted, ip.octets().as_ptr(), 4),
                Ok(IpAddr::V6(ip)) => sys::X509_VERIFY_PARAM_set1_ip(wanted, ip.octets().as_ptr(), 16),
                Err(_) => {
                    let (command, kind) = (sys::SSL_CTRL_SET_TLSEXT_HOSTNAME, sys::TLSEXT_NAMETYPE_host_name);
                    sys::SSL_ctrl(ssl, command as _, kind as _, c_name.as_ptr().cast_mut().cast());
                    sys::X509_VERIFY_PARAM_set1_host(wanted, c_name.as_ptr(), name.len())
                }
            };
            (done == 1).then_some(())
        }
    }

    /// Checks the certificate after the handshake, as nginx does: the handshake itself always goes
    /// on, so that the fault can be named.
    fn check(&self, ssl: *mut SSL) -> Result<(), TlsError> {
        if !self.verify {
            return Ok(());
        }
        // SAFETY: the connection has finished its handshake; OpenSSL's text is static.
        let (result, text) = unsafe {
            let result = sys::SSL_get_verify_result(ssl);
            (result, CStr::from_ptr(sys::X509_verify_cert_error_string(result)))
        };
        match result as u32 {
            sys::X509_V_OK => Ok(()),
            sys::X509_V_ERR_HOSTNAME_MISMATCH | sys::X509_V_ERR_IP_ADDRESS_MISMATCH => Err(TlsError::HostMismatch),
            _ => Err(TlsError::Certificate(text.to_string_lossy().into_owned())),
        }
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        // SAFETY: the context is this module's, or null; connections have their own references.
        unsafe { sys::ngx_ssl_cleanup_ctx((&raw mut self.ssl).cast()) }
    }
}

/// The protocol that the server chose by ALPN; empty if it chose none.
pub fn alpn_selected(connection: &Connection) -> &[u8] {
    let (mut data, mut len) = (ptr::null(), 0);
    // SAFETY: the connection is open; `ssl` is null without TLS; the name lives as long as the
    // connection.
    unsafe {
        if (*connection.as_ptr()).ssl.is_null() {
            return &[];
        }
        sys::SSL_get0_alpn_selected(ssl_of(connection), &raw mut data, &raw mut len);
        string::bytes(sys::ngx_str_t { len: len as usize, data: data.cast_mut() })
    }
}

/// OpenSSL's part of a TLS connection.
fn ssl_of(connection: &Connection) -> *mut SSL {
    // SAFETY: `prepare` made this a TLS connection.
    unsafe { (*(*connection.as_ptr()).ssl).connection }
}

fn poll_handshake(connection: &mut Connection, started: &mut bool, cx: &mut Context<'_>) -> Poll<Result<(), TlsError>> {
    let c = connection.as_ptr();
    // SAFETY: `prepare` made this a TLS connection. During the handshake nginx drives the
    // connection itself, and calls the handler when the handshake is over.
    unsafe {
        if (*(*c).ssl).handshaked() != 0 {
            return Poll::Ready(Ok(()));
        }
        if *started {
            return Poll::Ready(Err(TlsError::Handshake));
        }
        *started = true;
        match sys::ngx_ssl_handshake(c) {
            rc::OK => Poll::Ready(Ok(())),
            rc::AGAIN => {
                (*(*c).ssl).handler = Some(on_handshake);
                connection.wait_for_reading(cx);
                Poll::Pending
            }
            _ => Poll::Ready(Err(TlsError::Handshake)),
        }
    }
}
