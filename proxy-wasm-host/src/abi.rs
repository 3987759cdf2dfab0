//! The numbers of the ABI: spec v0.2.1, "Built-in types", and the names that differ in 0.1.0 and
//! 0.2.0.

/// Declares a C-like enum of the spec with its conversion from the guest's `i32`.
macro_rules! abi_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $value:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(i32)]
        pub enum $name { $($(#[$vdoc])* $variant = $value,)* }

        impl TryFrom<i32> for $name {
            type Error = Status;

            fn try_from(value: i32) -> Result<Self, Status> {
                match value {
                    $($value => Ok(Self::$variant),)*
                    _ => Err(Status::BadArgument),
                }
            }
        }
    };
}

abi_enum! {
    /// `proxy_status_t`: what a host function answers.
    Status {
        /// The call succeeded.
        Ok = 0,
        /// The requested element does not exist or is not available now.
        NotFound = 1,
        /// An argument is not valid.
        BadArgument = 2,
        /// The host could not serialize a value.
        SerializationFailure = 3,
        /// The host could not parse a value.
        ParseFailure = 4,
        /// Never answered by this host; kept for the numbering.
        BadExpression = 5,
        /// An address or length lies outside the guest's memory.
        InvalidMemoryAccess = 6,
        /// A queue has nothing to take.
        Empty = 7,
        /// The value changed since it was read.
        CasMismatch = 8,
        /// Never answered by this host; kept for the numbering.
        ResultMismatch = 9,
        /// The host failed.
        InternalFailure = 10,
        /// The connection is gone.
        BrokenConnection = 11,
        /// The host does not have this function.
        Unimplemented = 12,
    }
}

abi_enum! {
    /// `proxy_log_level_t`.
    LogLevel {
        /// Finest detail.
        Trace = 0,
        /// For debugging.
        Debug = 1,
        /// For information.
        Info = 2,
        /// Something odd.
        Warn = 3,
        /// Something failed.
        Error = 4,
        /// Something failed badly.
        Critical = 5,
    }
}

/// What the result of a stream's callback asks for: `proxy_action_t`, and Envoy's further numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Go on.
    Continue,
    /// Wait until the plugin resumes the stream. Its next call sees all of the body that waits.
    Pause,
    /// The same, in headers behind which a body comes for which the plugin has a callback. The embedder
    /// may let the body come, and hold the headers alone until that callback continues.
    PauseHeaders,
    /// Wait. The plugin's next call sees only what is new of the body, of which no more is read than
    /// may wait.
    PauseByWatermark,
}

impl Action {
    /// The number of [`Action::Continue`].
    pub const CONTINUE: i32 = 0;
}

abi_enum! {
    /// `proxy_buffer_type_t`.
    BufferType {
        /// The request body.
        HttpRequestBody = 0,
        /// The response body.
        HttpResponseBody = 1,
        /// TCP data from downstream.
        DownstreamData = 2,
        /// TCP data from upstream.
        UpstreamData = 3,
        /// The body of an HTTP call's response.
        HttpCallResponseBody = 4,
        /// A gRPC message.
        GrpcCallMessage = 5,
        /// The configuration of the VM.
        VmConfiguration = 6,
        /// The configuration of the plugin.
        PluginConfiguration = 7,
        /// The arguments of a foreign function.
        ForeignFunctionArguments = 8,
        /// The reply to a Redis call. It is not of the spec, but of Higress.
        RedisReply = 9,
    }
}

abi_enum! {
    /// `proxy_map_type_t`.
    MapType {
        /// Request headers.
        HttpRequestHeaders = 0,
        /// Request trailers.
        HttpRequestTrailers = 1,
        /// Response headers.
        HttpResponseHeaders = 2,
        /// Response trailers.
        HttpResponseTrailers = 3,
        /// Initial metadata of a gRPC call's response.
        GrpcCallInitialMetadata = 4,
        /// Trailing metadata of a gRPC call's response.
        GrpcCallTrailingMetadata = 5,
        /// Headers of an HTTP call's response.
        HttpCallResponseHeaders = 6,
        /// Trailers of an HTTP call's response.
        HttpCallResponseTrailers = 7,
    }
}

abi_enum! {
    /// `proxy_stream_type_t`: which half of which stream to continue or close.
    StreamType {
        /// The HTTP request.
        HttpRequest = 0,
        /// The HTTP response.
        HttpResponse = 1,
        /// TCP data from downstream.
        Downstream = 2,
        /// TCP data from upstream.
        Upstream = 3,
    }
}

abi_enum! {
    /// `proxy_metric_type_t`.
    MetricType {
        /// Only grows.
        Counter = 0,
        /// Goes up and down.
        Gauge = 1,
        /// Counts recorded values by bucket.
        Histogram = 2,
    }
}

/// The ABI version a plugin advertises by its `proxy_abi_version_*` export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AbiVersion {
    /// `proxy_abi_version_0_1_0`.
    V0_1_0,
    /// `proxy_abi_version_0_2_0`.
    V0_2_0,
    /// `proxy_abi_version_0_2_1`.
    V0_2_1,
    /// `proxy_abi_version_0_2_100`: Higress's, which is 0.2.1 with more host functions, and with
    /// Envoy's own numbers as results of callbacks.
    V0_2_100,
}

impl AbiVersion {
    /// The version as the spec writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V0_1_0 => "0.1.0",
            Self::V0_2_0 => "0.2.0",
            Self::V0_2_1 => "0.2.1",
            Self::V0_2_100 => "0.2.100",
        }
    }
}
