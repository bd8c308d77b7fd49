//! Every method, and what repeating a call of it would do.

/// Whether a call may be sent again when nobody knows what became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It reads, or doing it twice is doing it once: a create with its idempotency key, an outcome that is recorded.
    Safe,
    /// Doing it twice may undo what somebody else did in between. It is sent again only when it was certainly not begun.
    NotBegun,
    /// A stream: its caller knows what was answered and what was not.
    Stream,
}

/// A method.
#[derive(Debug, Clone, Copy)]
pub struct Method {
    /// Where it is called.
    pub path: &'static str,
    /// What repeating it would do.
    pub repeat: Repeat,
}

macro_rules! methods {
    ($($name:ident = $path:literal, $repeat:ident;)*) => {
        $(pub const $name: Method = Method { path: $path, repeat: Repeat::$repeat };)*

        /// All of them.
        #[cfg(test)]
        pub const ALL: &[Method] = &[$($name),*];
    };
}

methods! {
    CREATE_CHECKOUT = "/waypost.v1.RedirectService/CreateCheckout", Safe;
    CREATE_ORDER = "/waypost.v1.RedirectService/CreateOrder", Safe;
    CREATE_PAYMENT = "/waypost.v1.RedirectService/CreatePayment", Safe;
    GET_SESSION = "/waypost.v1.RedirectService/GetSession", Safe;
    RECORD_OUTCOME = "/waypost.v1.RedirectService/RecordOutcome", Safe;
    RESOLVE_REDIRECT = "/waypost.v1.RedirectService/ResolveRedirect", Safe;
    RESOLVE_REDIRECTS = "/waypost.v1.RedirectService/ResolveRedirects", Stream;
    PREVIEW_REDIRECTS = "/waypost.v1.RedirectService/PreviewRedirects", Safe;
    WATCH_SESSION = "/waypost.v1.RedirectService/WatchSession", Stream;
    VERIFY_RETURN = "/waypost.v1.RedirectService/VerifyReturn", Safe;
    GET_MERCHANT = "/waypost.v1.MerchantService/GetMerchant", Safe;
    UPDATE_MERCHANT = "/waypost.v1.MerchantService/UpdateMerchant", NotBegun;
    CHECK_HEALTH = "/grpc.health.v1.Health/Check", Safe;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::FILE_DESCRIPTOR_SET;
    use prost_reflect::DescriptorPool;
    use std::collections::BTreeSet;

    #[test]
    fn every_rpc_is_here() {
        let pool = DescriptorPool::decode(FILE_DESCRIPTOR_SET).unwrap();
        let methods = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
        let rpcs: BTreeSet<_> =
            methods.map(|method| format!("/{}/{}", method.parent_service().full_name(), method.name())).collect();
        let ours = ALL.iter().map(|method| method.path.to_owned()).filter(|path| path.starts_with("/waypost."));
        assert_eq!(ours.collect::<BTreeSet<_>>(), rpcs);
    }
}
