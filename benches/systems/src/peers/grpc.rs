//! gRPC: tonic, without TLS, and the pool.

use super::closed_loop::{self, Caller};
use super::pool::Pool;
use crate::child::{self, ServeArguments};
use crate::cores;
use crate::figures::{Figure, Load, Work, functions};
use crate::fleet::FleetCaller;
use crate::outcome::Outcome;
use generated::functions_client::FunctionsClient;
use generated::functions_server::{Functions, FunctionsServer};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::runtime::Builder;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};
use tower::balance::p2c::Balance;
use tower::buffer::Buffer;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, PeakEwma};

mod generated {
    #![allow(unused_qualifications, unreachable_pub, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/systems.Functions.rs"));
}

/// A call.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Request {
    #[prost(string, tag = "1")]
    function: String,
    /// JSON.
    #[prost(bytes = "vec", tag = "2")]
    args: Vec<u8>,
}

/// Its result.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Response {
    /// JSON.
    #[prost(string, tag = "1")]
    result: String,
}

struct Service(Pool);

#[tonic::async_trait]
impl Functions for Service {
    async fn call(
        &self,
        request: tonic::Request<Request>,
    ) -> Result<tonic::Response<Response>, Status> {
        let Request { function, args } = request.into_inner();
        match self.0.call(function, args).await {
            Ok(result) => Ok(tonic::Response::new(Response { result })),
            Err(error) => Err(Status::internal(error.to_string())),
        }
    }
}

pub(crate) fn serve(serve: &ServeArguments) -> Outcome<()> {
    cores::pin(serve.core)?;
    let service = FunctionsServer::new(Service(Pool::new(&functions(serve.slowdown))?));
    super::server_runtime(Builder::new_current_thread())?.block_on(async {
        let incoming = TcpIncoming::bind(([127, 0, 0, 1], 0).into())?.with_nodelay(Some(true));
        child::ready(incoming.local_addr()?)?;
        let mut server = Server::builder().max_concurrent_streams(4096);
        server
            .add_service(service)
            .serve_with_incoming(incoming)
            .await?;
        Ok(())
    })
}

/// A caller of several servers, of which the better of two by chance gets each call, by the moving average of how long calls
/// take there and how many are under way (tower's `PeakEwma`).
pub(crate) struct Balanced {
    client: FunctionsClient<Buffer<http::Request<Body>, BalancedFuture>>,
    request: Request,
}

/// A server that is one of those.
type Member = PeakEwma<Channel>;
type Members = ServiceList<Vec<Member>>;
type BalancedFuture =
    <Balance<Members, http::Request<Body>> as tower::Service<http::Request<Body>>>::Future;

/// What a call is taken to last at a server that none has come from, and how long the average remembers.
const FIRST_GUESS: Duration = Duration::from_millis(1);
const DECAY: Duration = Duration::from_secs(10);

impl Balanced {
    pub(crate) async fn connect(addresses: &[SocketAddr], work: &Work) -> Outcome<Self> {
        let mut members = Vec::new();
        for address in addresses {
            let endpoint = Channel::from_shared(format!("http://{address}"))?;
            let channel = endpoint.tcp_nodelay(true).connect().await?;
            let decay_ns = DECAY.as_nanos() as f64;
            let complete = CompleteOnResponse::default();
            members.push(PeakEwma::new(channel, FIRST_GUESS, decay_ns, complete));
        }
        let (service, worker) = Buffer::pair(Balance::new(ServiceList::new(members)), 1024);
        tokio::spawn(worker);
        Ok(Self {
            client: FunctionsClient::new(service),
            request: request(work),
        })
    }
}

impl FleetCaller for Balanced {
    async fn call(&self) -> Outcome<String> {
        let response = self.client.clone().call(self.request.clone()).await?;
        Ok(response.into_inner().result)
    }
}

fn request(work: &Work) -> Request {
    Request {
        function: work.function.into(),
        args: work.args.clone().into_bytes(),
    }
}

struct GrpcCaller {
    client: FunctionsClient<Channel>,
    request: Request,
}

impl Caller for GrpcCaller {
    async fn call(&mut self) -> Outcome<String> {
        let response = self.client.call(self.request.clone()).await?;
        Ok(response.into_inner().result)
    }
}

pub(crate) fn measure(
    address: SocketAddr,
    core: usize,
    work: &Work,
    load: &Load,
) -> Outcome<Figure> {
    let request = request(work);
    closed_loop::run(core, work, load, async move |callers| {
        let endpoint = Channel::from_shared(format!("http://{address}"))?;
        let channel = endpoint.tcp_nodelay(true).connect().await?;
        let caller = |_| GrpcCaller {
            client: FunctionsClient::new(channel.clone()),
            request: request.clone(),
        };
        Ok((0..callers).map(caller).collect())
    })
}
