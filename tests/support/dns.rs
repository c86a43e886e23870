//! A name server of a test's own, which says what the test wants it to.

use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SRV};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// What a client takes by UDP that says nothing else (RFC 1035, section 4.2.1).
const UDP_MAX: usize = 512;

/// How often a thread looks whether it is still needed.
const LOOK_INTERVAL: Duration = Duration::from_millis(20);

/// What there is to know.
#[derive(Clone, Default)]
pub struct Zone {
    pub records: Vec<Record>,
    /// What every answer says in place of the records.
    pub refuses: Option<ResponseCode>,
    /// Addresses of targets are given with the records that name them.
    pub has_glue: bool,
    /// Nothing is answered at all.
    pub is_silent: bool,
}

impl Zone {
    pub fn srv(mut self, name: &str, ttl: u32, (priority, port): (u16, u16), host: &str) -> Self {
        let data = RData::SRV(SRV::new(priority, 1, port, self::name(host)));
        self.records
            .push(Record::from_rdata(self::name(name), ttl, data));
        self
    }

    pub fn host(mut self, name: &str, ttl: u32, ip: &str) -> Self {
        let data = match ip.parse().unwrap() {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        };
        self.records
            .push(Record::from_rdata(self::name(name), ttl, data));
        self
    }

    pub fn alias(mut self, name: &str, other: &str) -> Self {
        let data = RData::CNAME(CNAME(self::name(other)));
        self.records
            .push(Record::from_rdata(self::name(name), 1, data));
        self
    }

    fn answer(&self, question: &[u8], bytes_max: usize) -> Option<Vec<u8>> {
        let question = Message::from_vec(question).ok()?;
        let query = question.queries.first()?.clone();
        if self.is_silent {
            return None;
        }
        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.metadata.recursion_available = true;
        let of_name = || {
            self.records
                .iter()
                .filter(|record| record.name == *query.name())
        };
        let is_asked = |record: &&Record| {
            [query.query_type(), RecordType::CNAME].contains(&record.record_type())
        };
        answer.metadata.response_code = match self.refuses {
            Some(code) => code,
            None if of_name().next().is_none() => ResponseCode::NXDomain,
            None => {
                answer.add_answers(of_name().filter(is_asked).cloned());
                ResponseCode::NoError
            }
        };
        if self.has_glue {
            let is_host = |record: &&Record| {
                [RecordType::A, RecordType::AAAA].contains(&record.record_type())
            };
            answer.add_additionals(self.records.iter().filter(is_host).cloned());
        }
        answer.add_query(query);
        let bytes_max = question
            .edns
            .map_or(bytes_max, |edns| bytes_max.max(edns.max_payload().into()));
        let bytes = answer.to_vec().unwrap();
        match bytes.len() <= bytes_max {
            true => Some(bytes),
            false => Some(answer.truncate().to_vec().unwrap()),
        }
    }
}

pub fn name(text: &str) -> Name {
    let mut name = Name::from_str_relaxed(text).unwrap();
    name.set_fqdn(true);
    name
}

/// A name server, by UDP and TCP at one port, until it is dropped.
pub struct NameServer {
    pub address: SocketAddr,
    zones: Vec<Sender<Zone>>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    pub fn start(zone: &Zone) -> Self {
        loop {
            let port = super::support::process::free_port();
            if let Ok(server) = Self::start_at(([127, 0, 0, 1], port).into(), zone) {
                return server;
            }
        }
    }

    /// # Errors
    /// Where somebody else has the port.
    pub fn start_at(address: SocketAddr, zone: &Zone) -> std::io::Result<Self> {
        let udp = UdpSocket::bind(address)?;
        let tcp = TcpListener::bind(address)?;
        udp.set_read_timeout(Some(LOOK_INTERVAL))?;
        tcp.set_nonblocking(true)?;
        let ((to_udp, for_udp), (to_tcp, for_tcp)) = (channel(), channel());
        let by_udp = zone.clone();
        let by_tcp = zone.clone();
        let threads = vec![
            std::thread::spawn(move || serve_udp(&udp, by_udp, &for_udp)),
            std::thread::spawn(move || serve_tcp(&tcp, by_tcp, &for_tcp)),
        ];
        let zones = vec![to_udp, to_tcp];
        Ok(Self {
            address,
            zones,
            threads,
        })
    }

    /// Says this from now on.
    pub fn set(&self, zone: &Zone) {
        for to in &self.zones {
            to.send(zone.clone()).unwrap();
        }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.zones.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Takes the latest zone; says whether the server is still needed.
fn renew(zone: &mut Zone, zones: &Receiver<Zone>) -> bool {
    loop {
        match zones.try_recv() {
            Ok(new) => *zone = new,
            Err(TryRecvError::Empty) => return true,
            Err(TryRecvError::Disconnected) => return false,
        }
    }
}

fn serve_udp(socket: &UdpSocket, mut zone: Zone, zones: &Receiver<Zone>) {
    let mut buffer = [0; 4096];
    loop {
        let received = socket.recv_from(&mut buffer);
        if !renew(&mut zone, zones) {
            return;
        }
        if let Ok((length, from)) = received
            && let Some(answer) = zone.answer(&buffer[..length], UDP_MAX)
        {
            let _ = socket.send_to(&answer, from);
        }
    }
}

fn serve_tcp(listener: &TcpListener, mut zone: Zone, zones: &Receiver<Zone>) {
    loop {
        let accepted = listener.accept();
        if !renew(&mut zone, zones) {
            return;
        }
        match accepted {
            Ok((stream, _)) => {
                let zone = zone.clone();
                std::thread::spawn(move || serve_stream(stream, &zone));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                std::thread::sleep(LOOK_INTERVAL);
            }
            Err(_) => return,
        }
    }
}

/// One question, and the end: the next may find another zone.
fn serve_stream(mut stream: TcpStream, zone: &Zone) -> Option<()> {
    stream.set_nonblocking(false).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut question = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut question).ok()?;
    let answer = zone.answer(&question, usize::from(u16::MAX))?;
    let length = u16::try_from(answer.len()).ok()?;
    stream.write_all(&length.to_be_bytes()).ok()?;
    stream.write_all(&answer).ok()
}
