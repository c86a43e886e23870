//! TLS of a server's HTTP: by the certificate that it has for QUIC. Clients show none; their tokens say who they are.

use boring::error::ErrorStack;
use boring::pkey::PKey;
use boring::ssl::{AlpnError, SslAcceptor, SslMethod, SslVersion, select_next_proto};
use boring::x509::X509;
use madrpc_core::identity::{Identity, IdentityError};

/// The only protocol, as ALPN writes it.
const PROTOCOLS: &[u8] = b"\x08http/1.1";

/// What accepts TLS 1.2 and 1.3 as this identity.
pub(super) fn acceptor(identity: &Identity) -> Result<SslAcceptor, IdentityError> {
    let (chain, key) = (identity.cert_pem()?, identity.key_pem()?);
    build(&chain, &key).map_err(IdentityError::from)
}

fn build(chain: &[u8], key: &[u8]) -> Result<SslAcceptor, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    acceptor.set_min_proto_version(Some(SslVersion::TLS1_2))?;
    let mut chain = X509::stack_from_pem(chain)?.into_iter();
    if let Some(leaf) = chain.next() {
        acceptor.set_certificate(&leaf)?;
    }
    for intermediate in chain {
        acceptor.add_extra_chain_cert(intermediate)?;
    }
    let key = PKey::private_key_from_pem(key)?;
    acceptor.set_private_key(&key)?;
    acceptor.set_alpn_select_callback(|_, offered| {
        select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK)
    });
    Ok(acceptor.build())
}
