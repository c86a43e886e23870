//! gRPC: tonic, without TLS, and the pool.

use super::closed_loop::{self, Caller};
use super::pool::Pool;
use crate::child::{self, ServeArguments};
use crate::cores;
use crate::figures::{Figure, Load, Work};
use crate::outcome::Outcome;
use generated::functions_client::FunctionsClient;
use generated::functions_server::{Functions, FunctionsServer};
use std::net::SocketAddr;
use tokio::runtime::Builder;
use tonic::Status;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Server};

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
    let service = FunctionsServer::new(Service(Pool::new()?));
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
    let request = Request {
        function: work.function.into(),
        args: work.args.clone().into_bytes(),
    };
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
