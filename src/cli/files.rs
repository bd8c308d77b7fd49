//! What the files hold that the options of `waypost serve` name: credentials, certificates and keys.
//!
//! Reading them binds no port and asks nobody, so that `waypost config check` can do it beside a server that runs.

use super::{
    config::Problem,
    secret_file::SecretFile,
    serve::{ListenAddr, Serve},
    serve_tls::Tls,
};
use crate::{
    grpc::Authentication,
    pages::{PageKeys, limits::PAGE_KEY_FILE_BYTES},
    redirect::SigningKeys,
};

/// The files, read.
pub struct Files {
    /// Who may call.
    pub authentication: Authentication,
    /// The encryption of the gRPC listener.
    pub tls: Tls,
    /// That of the page listener.
    pub page_tls: Tls,
    /// That of the operations listener.
    pub ops_tls: Tls,
    /// The keys of the pages' links; `None` without pages.
    pub page_keys: Option<PageKeys>,
    /// What returns are signed with.
    pub signing_keys: Option<SigningKeys>,
}

impl Files {
    /// Reads all of them.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with any of them.
    pub fn read(serve: &Serve) -> Result<Self, Vec<Problem>> {
        let authentication = serve.access.authentication();
        let (tls, page_tls, ops_tls) = (serve.tls.grpc(), serve.tls.pages(), serve.tls.ops());
        let (page_keys, signing_keys) = (page_keys(serve), serve.signing.keys());
        match (authentication, tls, page_tls, ops_tls, page_keys, signing_keys) {
            (Ok(authentication), Ok(tls), Ok(page_tls), Ok(ops_tls), Ok(page_keys), Ok(signing_keys)) => {
                let is_known = matches!(authentication, Authentication::By(_));
                if tls.is_none() && is_known && !serve.grpc_addr.ip().is_loopback() {
                    tracing::warn!(
                        "secrets travel unencrypted: give --tls-cert, unless a proxy on this machine encrypts them"
                    );
                }
                Ok(Self { authentication, tls, page_tls, ops_tls, page_keys, signing_keys })
            }
            (authentication, tls, page_tls, ops_tls, page_keys, signing_keys) => {
                let of_one = [authentication.err(), tls.err(), page_tls.err(), ops_tls.err(), page_keys.err()];
                Err(of_one.into_iter().flatten().chain(signing_keys.err().into_iter().flatten()).collect())
            }
        }
    }
}

fn page_keys(serve: &Serve) -> Result<Option<PageKeys>, Problem> {
    let problem = |text: String| Problem::of("page_key_file", text);
    let (file, addr) = (&serve.page_key_file, serve.page_addr);
    let keys = match (file, addr) {
        (_, ListenAddr::Off) => return Ok(None),
        (Some(file), ListenAddr::At(_)) => {
            let named = |text: String| problem(format!("{} {text}", file.display()));
            let read = SecretFile::read(file, PAGE_KEY_FILE_BYTES).map_err(named)?;
            if read.is_open_to_others {
                tracing::warn!(
                    "every user of the machine can open any buyer's page: `chmod 600` the file of --page-key-file"
                );
            }
            PageKeys::read(&read.text).map_err(|error| named(error.to_string()))?
        }
        (None, ListenAddr::At(_)) => {
            tracing::warn!(
                "links to the buyers' pages end with this process and open on no other server: give --page-key-file"
            );
            let keys = PageKeys::ephemeral();
            keys.ok_or_else(|| problem("is missing, and the system has no randomness for a key".into()))?
        }
    };
    Ok(Some(keys))
}
