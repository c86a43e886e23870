//! The ancestor's design: tokio, quinn and rustls, a stream for each call, and the pool.
//!
//! A call is the length of the function's name in one byte, the name, and the arguments in JSON up to the stream's end;
//! the result comes back in JSON on the same stream.

use super::closed_loop::{self, Caller};
use super::pool::Pool;
use crate::child::{self, ServeArguments};
use crate::cores;
use crate::figures::{FUNCTIONS, Figure, Load, Work};
use crate::identity::identity;
use crate::outcome::Outcome;
use madrpc_core::identity::{Identity, Role, SERVER_NAME_ANY};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, RecvStream, SendStream, TransportConfig};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use tokio::runtime::Builder;

const PROTOCOL: &[u8] = b"ancestor";

/// The largest arguments and results.
const BODY_MAX_BYTES: usize = 1 << 20;

/// What rustls wants of an identity.
struct Credentials {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn credentials(identity: &Identity) -> Outcome<Credentials> {
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_slice_iter(&identity.ca_pem()?) {
        roots.add(authority?)?;
    }
    let chain: Result<_, _> = CertificateDer::pem_slice_iter(&identity.cert_pem()?).collect();
    Ok(Credentials {
        roots: Arc::new(roots),
        chain: chain?,
        key: PrivateKeyDer::from_pem_slice(&identity.key_pem()?)?,
    })
}

fn transport() -> Arc<TransportConfig> {
    let mut transport = TransportConfig::default();
    // Quinn's default is 100, which would cap the calls in flight.
    transport.max_concurrent_bidi_streams(4096_u32.into());
    Arc::new(transport)
}

fn server_config(identity: &Identity) -> Outcome<quinn::ServerConfig> {
    let Credentials { roots, chain, key } = credentials(identity)?;
    let mut tls = rustls::ServerConfig::builder()
        .with_client_cert_verifier(WebPkiClientVerifier::builder(roots).build()?)
        .with_single_cert(chain, key)?;
    tls.alpn_protocols = vec![PROTOCOL.into()];
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

fn client_config(identity: &Identity) -> Outcome<quinn::ClientConfig> {
    let Credentials { roots, chain, key } = credentials(identity)?;
    let mut tls = rustls::ClientConfig::builder()
        .with_root_certificates(roots)
        .with_client_auth_cert(chain, key)?;
    tls.alpn_protocols = vec![PROTOCOL.into()];
    let mut config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    config.transport_config(transport());
    Ok(config)
}

pub(crate) fn serve(serve: &ServeArguments) -> Outcome<()> {
    cores::pin(serve.core)?;
    use_ring();
    let config = server_config(&identity(&serve.dir, Role::Node)?)?;
    let pool = Pool::new(FUNCTIONS)?;
    super::server_runtime(Builder::new_multi_thread())?.block_on(async {
        let endpoint = Endpoint::server(config, ([127, 0, 0, 1], 0).into())?;
        child::ready(endpoint.local_addr()?)?;
        while let Some(incoming) = endpoint.accept().await {
            let pool = pool.clone();
            tokio::spawn(async move {
                let connection = incoming.await?;
                while let Ok((to_caller, from_caller)) = connection.accept_bi().await {
                    let pool = pool.clone();
                    tokio::spawn(async move {
                        // The caller sees the stream reset, and says so.
                        let _ = answer(&pool, to_caller, from_caller).await;
                    });
                }
                Outcome::Ok(())
            });
        }
        Ok(())
    })
}

async fn answer(
    pool: &Pool,
    mut to_caller: SendStream,
    mut from_caller: RecvStream,
) -> Outcome<()> {
    let call = from_caller.read_to_end(BODY_MAX_BYTES).await?;
    let (length, rest) = call.split_first().ok_or("an empty call")?;
    let (function, args) = rest
        .split_at_checked(usize::from(*length))
        .ok_or("a call without its function")?;
    let function = String::from_utf8(function.to_vec())?;
    let result = pool.call(function, args.to_vec()).await?;
    to_caller.write_all(result.as_bytes()).await?;
    to_caller.finish()?;
    Ok(())
}

struct QuicCaller {
    connection: Connection,
    request: Vec<u8>,
}

impl Caller for QuicCaller {
    async fn call(&mut self) -> Outcome<String> {
        let (mut to_server, mut from_server) = self.connection.open_bi().await?;
        to_server.write_all(&self.request).await?;
        to_server.finish()?;
        let result = from_server.read_to_end(BODY_MAX_BYTES).await?;
        Ok(String::from_utf8(result)?)
    }
}

pub(crate) fn measure(
    address: SocketAddr,
    dir: &Path,
    core: usize,
    work: &Work,
    load: &Load,
) -> Outcome<Figure> {
    use_ring();
    let config = client_config(&identity(dir, Role::Client)?)?;
    let mut request = vec![work.function.len() as u8];
    request.extend_from_slice(work.function.as_bytes());
    request.extend_from_slice(work.args.as_bytes());
    closed_loop::run(core, work, load, async move |callers| {
        let endpoint = Endpoint::client(([127, 0, 0, 1], 0).into())?;
        let connection = endpoint
            .connect_with(config, address, SERVER_NAME_ANY)?
            .await?;
        let caller = |_| QuicCaller {
            connection: connection.clone(),
            request: request.clone(),
        };
        Ok((0..callers).map(caller).collect())
    })
}

/// rustls has no default where a program could have several.
fn use_ring() {
    // It fails where it was done before.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
