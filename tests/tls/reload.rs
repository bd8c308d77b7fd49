//! The certificate changes while connections are open.

use crate::{
    certificates::{Authority, Certificate},
    served::{Peer, Peers, Served, etag},
};
use std::fs;
use waypost::server::Limits;

async fn shown(peer: &Peer, served: &Served) -> Vec<u8> {
    let stream = peer.connect(served.addr).await.expect("connected");
    let (_, connection) = stream.get_ref();
    connection.peer_certificates().expect("a certificate")[0].to_vec()
}

#[tokio::test]
async fn new_connections_see_the_new_certificate_and_open_ones_go_on() {
    let authority = Authority::new("ours");
    let (first, second) = (authority.server(), authority.server());
    let served = Served::start(&first, &Peers::Anybody, Limits::default());
    let peer = Peer::trusting(&authority);
    let open = peer.channel(served.addr).await.expect("connected");
    assert_eq!(etag(&open, None).await.expect("answered"), "v0");
    assert_eq!(shown(&peer, &served).await, first.der().to_vec());

    second.write(served.dir.path(), "server");
    served.look_again();
    assert_eq!(shown(&peer, &served).await, second.der().to_vec());
    assert_eq!(etag(&open, None).await.expect("answered on the old connection"), "v0");
}

#[tokio::test]
async fn a_pair_that_cannot_be_used_changes_nothing() {
    let authority = Authority::new("ours");
    let first = authority.server();
    let served = Served::start(&first, &Peers::Anybody, Limits::default());
    let peer = Peer::trusting(&authority);
    let good = authority.server();
    let bad = [
        // As when the certificate is replaced before its key.
        Certificate { certificate: good.certificate.clone(), key: first.key.clone() },
        Certificate { certificate: String::new(), key: good.key.clone() },
        Certificate { certificate: good.certificate.clone(), key: "no key".into() },
        Certificate { certificate: good.key.clone(), key: good.key.clone() },
    ];
    for pair in bad {
        pair.write(served.dir.path(), "server");
        served.look_again();
        assert_eq!(shown(&peer, &served).await, first.der().to_vec(), "{}", pair.certificate);
    }
    fs::remove_file(served.dir.path().join("server.key")).expect("removed");
    served.look_again();
    assert_eq!(shown(&peer, &served).await, first.der().to_vec());
    good.write(served.dir.path(), "server");
    served.look_again();
    assert_eq!(shown(&peer, &served).await, good.der().to_vec());
}

#[tokio::test]
async fn an_authority_that_is_taken_away_vouches_for_nobody_any_more() {
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    let credentials = "[[credential]]\nname = 'a'\nidentity = 'dns:a'\nmerchants = 'all'\nscopes = ['read']\n";
    let served = Served::start(&ours.server(), &Peers::Known(&theirs, credentials), Limits::default());
    let peer = Peer::showing(&ours, &theirs.client(&[], &["a"]));
    let open = peer.channel(served.addr).await.expect("connected");
    assert_eq!(etag(&open, None).await.expect("answered"), "v0");
    fs::write(served.dir.path().join("clients.crt"), ours.pem()).expect("written");
    served.look_again();
    let again = async { etag(&peer.channel(served.addr).await.map_err(drop)?, None).await.map_err(drop) };
    assert_eq!(again.await, Err(()), "a new connection");
    assert_eq!(etag(&open, None).await.expect("an open connection goes on"), "v0");
}
