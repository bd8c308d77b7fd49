//! Encrypted connections: to whom they are made, and to whom not.

use crate::support::postgres::{Cluster, Fsync, TestDatabase, USER};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::{net::TcpListener, path::Path};
use waypost::store::{PostgresStore, Store, postgres::ConnectError};

/// A server for `localhost` whose certificate an authority of ours signed, which is in the file.
struct Encrypted {
    database: TestDatabase,
    authority: std::path::PathBuf,
    port: u16,
    _cluster: Cluster,
}

impl Encrypted {
    async fn start() -> Option<Self> {
        let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").port();
        let cluster = Cluster::start_on(port, Fsync::Off, "")?;
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("signed");
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
        let certificate = params.signed_by(&key, &authority).expect("signed");
        let certificate = cluster.write_file("server.crt", &certificate.pem());
        let key = cluster.write_file("server.key", &key.serialize_pem());
        let authority = cluster.write_file("authority.crt", &authority.pem());
        cluster.configure(&format!(
            "listen_addresses = '127.0.0.1'\nssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n",
            certificate.display(),
            key.display()
        ));
        cluster.kill();
        cluster.restart();
        let database = cluster.create_database().await;
        drop(database.store().await);
        Some(Self { database, authority, port, _cluster: cluster })
    }

    async fn connect(&self, host: &str, query: &str) -> Result<PostgresStore, ConnectError> {
        let (port, name) = (self.port, &self.database.name);
        PostgresStore::connect(&format!("postgres://{USER}@{host}:{port}/{name}?{query}")).await
    }

    /// Connections in use that are encrypted.
    async fn encrypted(&self) -> i64 {
        let count = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
             WHERE ssl AND datname = current_database()";
        self.database.number(count).await
    }
}

fn trusting(authority: &Path) -> String {
    format!("sslrootcert={}", authority.display())
}

#[tokio::test]
async fn a_certificate_is_verified_whenever_there_is_one() {
    let Some(server) = Encrypted::start().await else { return };
    let trusting = trusting(&server.authority);
    for mode in ["require", "verify-full", "prefer"] {
        let store = server.connect("localhost", &format!("sslmode={mode}&{trusting}")).await.expect(mode);
        store.ping().await.expect("serving");
        assert!(server.encrypted().await > 0, "{mode}");
        store.close().await.expect("closed");
        let strange = server.connect("localhost", &format!("sslmode={mode}")).await.expect_err("unknown authority");
        assert!(matches!(&strange, ConnectError::Refused(text) if text.contains("UnknownIssuer")), "{strange}");
        let named = server.connect("127.0.0.1", &format!("sslmode={mode}&{trusting}")).await;
        assert!(matches!(named, Err(ConnectError::Refused(_))), "the certificate names another host");
    }
    let store = server.connect("localhost", "sslmode=disable").await.expect("asked for");
    store.ping().await.expect("serving");
}

#[tokio::test]
async fn a_server_without_encryption_is_refused_where_it_is_required() {
    let Some(cluster) = Cluster::shared() else { return };
    let database = cluster.create_database().await;
    drop(database.store().await);
    let proxy = crate::lossy_proxy::LossyProxy::to(database.socket()).await;
    let url = |mode| format!("postgres://{USER}@127.0.0.1:{}/{}?sslmode={mode}", proxy.port(), database.name);
    let error = PostgresStore::connect(&url("require")).await.expect_err("it has none");
    assert!(matches!(error, ConnectError::Refused(_)), "{error}");
    PostgresStore::connect(&url("prefer")).await.expect("as it is").ping().await.expect("serving");
}
