//! Header names, long and compact. It never rejects a name it does not know.

macro_rules! names {
    ($($variant:ident = $name:literal $(| $compact:literal)?),+ $(,)?) => {
        /// A header's name; `Other` for those we only carry.
        #[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
        #[allow(missing_docs)]
        pub enum Name {
            $($variant,)+
            Other,
        }

        impl Name {
            /// Reads a name in any case, long or compact (RFC 3261 7.3.3).
            pub fn parse(name: &str) -> Self {
                $(if name.eq_ignore_ascii_case($name) $(|| name.eq_ignore_ascii_case($compact))? {
                    return Self::$variant;
                })+
                Self::Other
            }

            /// The long name; empty for `Other`.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                    Self::Other => "",
                }
            }
        }
    };
}

names! {
    Via = "Via" | "v",
    From = "From" | "f",
    To = "To" | "t",
    CallId = "Call-ID" | "i",
    CSeq = "CSeq",
    Contact = "Contact" | "m",
    MaxForwards = "Max-Forwards",
    ContentLength = "Content-Length" | "l",
    ContentType = "Content-Type" | "c",
    Route = "Route",
    RecordRoute = "Record-Route",
    Require = "Require",
    ProxyRequire = "Proxy-Require",
    Supported = "Supported" | "k",
    Unsupported = "Unsupported",
    Allow = "Allow",
    Accept = "Accept",
    ContentEncoding = "Content-Encoding" | "e",
    RetryAfter = "Retry-After",
    Expires = "Expires",
    MinExpires = "Min-Expires",
    UserAgent = "User-Agent",
    PAssertedIdentity = "P-Asserted-Identity",
    Reason = "Reason",
    RSeq = "RSeq",
    RAck = "RAck",
    MinSe = "Min-SE",
    Replaces = "Replaces",
    ReferSub = "Refer-Sub",
    ContentDisposition = "Content-Disposition",
    Diversion = "Diversion",
    HistoryInfo = "History-Info",
    Privacy = "Privacy",
    RemotePartyId = "Remote-Party-ID",
    UserToUser = "User-to-User",
    Date = "Date",
    Subject = "Subject" | "s",
    Event = "Event" | "o",
    ReferTo = "Refer-To" | "r",
    ReferredBy = "Referred-By" | "b",
    AllowEvents = "Allow-Events" | "u",
    SubscriptionState = "Subscription-State",
    SessionExpires = "Session-Expires" | "x",
    WwwAuthenticate = "WWW-Authenticate",
    Authorization = "Authorization",
    ProxyAuthenticate = "Proxy-Authenticate",
    ProxyAuthorization = "Proxy-Authorization",
}
