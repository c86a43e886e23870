//! The gRPC service, without a `.proto`: it would need protoc.

fn main() {
    let call = tonic_build::manual::Method::builder()
        .name("call")
        .route_name("Call")
        .input_type("crate::peers::grpc::Request")
        .output_type("crate::peers::grpc::Response")
        .codec_path("tonic_prost::ProstCodec")
        .build();
    let service = tonic_build::manual::Service::builder()
        .name("Functions")
        .package("systems")
        .method(call)
        .build();
    tonic_build::manual::Builder::new().compile(&[service]);
}
