//! The small steps of a call: frames, values, connection IDs, and what a socket moves.
//!
//! A call in a lane is no public step; `calls` and `lanes` measure it from outside.
//!
//! `cargo bench -p madrpc-benches --bench micro`
#![allow(clippy::unwrap_used, reason = "a bench that fails has to stop")]

use divan::counter::{BytesCount, ItemsCount};
use divan::{Bencher, black_box};
use madrpc_core::call::Bill;
use madrpc_core::call::frame::{self, Header};
use madrpc_core::limits::{BODY_MAX_BYTES, DATAGRAM_MAX_BYTES};
use madrpc_core::session::cid::{ID_BYTES, destination_of, issue, shard_of};
use madrpc_core::value::Value;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::io::IoSliceMut;
use std::net::UdpSocket;

fn main() {
    divan::main();
}

/// `{a: 1, b: 2}`, and a list of a thousand such objects.
fn value(len: usize) -> Value {
    let object = || Value::object([("a", Value::Integer(1)), ("b", Value::Integer(2))]);
    match len {
        1 => object(),
        len => Value::Array((0..len).map(|_| object()).collect()),
    }
}

fn encoded(len: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    value(len).encode(&mut bytes, BODY_MAX_BYTES).unwrap();
    bytes
}

fn headers() -> [(&'static str, Header<'static>); 2] {
    let call = Header::Call {
        id: 123_456,
        function: "echo",
        timeout_us: 30_000_000,
        depth: 0,
        account: None,
    };
    let bill = Bill {
        queue_us: 12,
        cpu_us: 1,
        slices: 1,
        heap_peak_bytes: 200_000,
        shard: 3,
        node: "127.0.0.1:9001",
    };
    [
        ("call", call),
        ("reply", Header::Reply { id: 123_456, bill }),
    ]
}

fn header(name: &str) -> Header<'static> {
    let found = headers().into_iter().find(|(other, _)| *other == name);
    found.unwrap().1
}

#[divan::bench(args = ["call", "reply"])]
fn frame_write(bencher: Bencher<'_, '_>, name: &str) {
    let (header, body) = (header(name), encoded(1));
    let mut out = Vec::new();
    bencher.bench_local(|| {
        out.clear();
        frame::write(&mut out, black_box(&header), black_box(&body));
        out.len()
    });
}

#[divan::bench(args = ["call", "reply"])]
fn frame_read(bencher: Bencher<'_, '_>, name: &str) {
    let mut bytes = Vec::new();
    frame::write(&mut bytes, &header(name), &encoded(1));
    assert_eq!(
        frame::read(&bytes, BODY_MAX_BYTES)
            .unwrap()
            .unwrap()
            .0
            .header,
        header(name)
    );
    bencher.bench_local(|| {
        let frame = frame::read(black_box(&bytes), BODY_MAX_BYTES).unwrap();
        black_box(frame).is_some()
    });
}

#[divan::bench(args = [1, 1000])]
fn value_encode(bencher: Bencher<'_, '_>, len: usize) {
    let value = value(len);
    let mut out = Vec::new();
    bencher
        .counter(BytesCount::new(encoded(len).len()))
        .bench_local(|| {
            out.clear();
            black_box(&value).encode(&mut out, BODY_MAX_BYTES).unwrap();
            out.len()
        });
}

#[divan::bench(args = [1, 1000])]
fn value_decode(bencher: Bencher<'_, '_>, len: usize) {
    let bytes = encoded(len);
    assert_eq!(Value::decode(&bytes).unwrap(), value(len));
    bencher
        .counter(BytesCount::new(bytes.len()))
        .bench_local(|| Value::decode(black_box(&bytes)).unwrap());
}

/// From a datagram to the number of its shard, as where the kernel does not choose it.
#[divan::bench]
fn steering(bencher: Bencher<'_, '_>) {
    let mut datagram = vec![0x40];
    datagram.extend(issue([0xab; ID_BYTES], 5, 8));
    datagram.resize(1200, 0);
    assert_eq!(
        destination_of(&datagram).and_then(|id| shard_of(id, 8)),
        Some(5)
    );
    bencher.bench_local(|| {
        let id = destination_of(black_box(&datagram));
        id.and_then(|id| shard_of(id, black_box(8)))
    });
}

/// Datagrams over loopback in batches (GSO and GRO), sent and received by one core: what all else has to stay below.
#[divan::bench(args = [64, 1200, DATAGRAM_MAX_BYTES])]
fn socket_ceiling(bencher: Bencher<'_, '_>, bytes: usize) {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let [from, to] = [&sender, &receiver].map(|socket| UdpSocketState::new(socket.into()).unwrap());
    let count = from.max_gso_segments().min(65_000 / bytes);
    let contents = vec![7; bytes * count];
    let transmit = Transmit {
        destination: receiver.local_addr().unwrap(),
        ecn: None,
        contents: &contents,
        segment_size: Some(bytes),
        src_ip: None,
    };
    let mut buffers = vec![vec![0; 65_535]; BATCH_SIZE];
    let mut metas = [RecvMeta::default(); BATCH_SIZE];
    bencher.counter(ItemsCount::new(count)).bench_local(|| {
        from.try_send((&sender).into(), &transmit).unwrap();
        let mut received = 0;
        // A datagram that was lost would leave it waiting for ever: none is, on loopback and within the buffer.
        while received < contents.len() {
            let mut buffers = buffers.iter_mut();
            let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
                std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap()));
            // quinn-udp sets sockets to non-blocking.
            let filled = to
                .recv((&receiver).into(), &mut slices, &mut metas)
                .unwrap_or(0);
            received += metas[..filled].iter().map(|meta| meta.len).sum::<usize>();
        }
    });
}
