use super::*;

fn root() -> Root {
    Root {
        id: 1,
        cpu_ms: 10,
        memory_kib: 64,
    }
}

#[test]
fn a_family_has_what_its_first_call_may_have() {
    let now = Instant::now();
    let first = Member::first(root(), Duration::from_millis(3), now);
    let second = first.another(60 << 10, now).unwrap();
    let error = first.another(5 << 10, now).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
    second.set_busy(true);
    assert!(!second.is_full());
    second.hold(65 << 10);
    assert!(first.is_full());
    second.set_busy(false);
    assert!(!first.is_full());
    first.set_busy(true);
    assert!(first.is_full());
    drop(second);
    assert!(!first.is_full());
    // Calls are taken to be as large as the largest was.
    let third = first.another(33 << 10, now).unwrap();
    assert!(!first.is_full());
    third.note_size(40 << 10);
    assert!(first.is_full());
    third.set_busy(true);
    let (room, may_wait) = first.room(10 << 20);
    assert!(room > 9 << 20 && may_wait);
    assert!(!first.waits_for(31 << 10, 0) && first.waits_for(32 << 10, 0));
    third.hold(65 << 10);
    assert!(first.waits_for(0, 0) && !first.waits_for(0, 66 << 10));
    assert!(third.waits_for(0, 0));
    first.set_busy(false);
    assert!(!third.waits_for(0, 0));
    assert_eq!(third.room(0), (LEFT_MIN_BYTES, false));
    drop(third);
    assert!(!first.has_used(Duration::from_millis(6), now));
    let third = first.another(0, now).unwrap();
    assert!(third.has_used(Duration::from_millis(1), now));
    assert!(
        first
            .out_of_time()
            .is_some_and(|why| why.contains("10 ms together"))
    );
    let error = third.another(0, now).map(|_| ()).unwrap_err();
    assert_eq!(error.kind, ErrorKind::CpuLimit);
}

#[test]
fn what_is_above_one_of_a_family_and_was_lost_there_is_not_so_for_the_others() {
    let now = Instant::now();
    let mut families = Families::new();
    let account = Account {
        certificate: 1,
        session: 1,
        root: Some(root()),
    };
    let mut join = |above: &[u8], nodes_lost| {
        let mut member = families.join(account, root(), 0, now).unwrap();
        member.comes_with(NodesAbove(above), nodes_lost);
        member
    };
    let (one, other) = (join(&[1, 0, 0, 0, 2, 0, 0, 0], 1), join(&[3, 0, 0, 0], 0));
    assert_eq!(one.nodes_with(2), [2, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(other.nodes_with(4), [4, 0, 0, 0, 3, 0, 0, 0]);
    let child = one.another(0, now).unwrap();
    assert_eq!(child.nodes_with(9), one.nodes_with(9));
    let (hang, ok) = (Called::new("hang", b""), Called::new("ok", b""));
    assert_eq!(child.nodes_lost_by(ok), 1);
    assert_eq!(other.nodes_lost_by(hang), 0);
    let lost = CallError {
        nodes_lost: 2,
        ..CallError::may_have_run(ErrorKind::Unavailable, "gone")
    };
    one.learns(hang, Err(&lost));
    assert_eq!(other.nodes_lost_by(hang), 2);
    assert_eq!((one.nodes_lost_by(ok), other.nodes_lost_by(ok)), (1, 0));
    other.learns(hang, Ok(()));
    assert_eq!((one.nodes_lost_by(hang), other.nodes_lost_by(hang)), (1, 0));
    // No more are kept than are told.
    let many = join(&[7; 400], 0);
    assert_eq!(many.above.len(), 4 * NodesAbove::MAX);
}

#[test]
fn a_family_has_so_many_calls_at_a_time() {
    let now = Instant::now();
    let first = Member::first(root(), Duration::ZERO, now);
    let mut all: Vec<_> = (0..CHILDREN_MAX)
        .map(|_| first.another(0, now).unwrap())
        .collect();
    assert!(first.another(0, now).is_err());
    all.pop();
    assert!(first.another(0, now).is_ok());
}

#[test]
fn calls_from_elsewhere_find_their_family_until_it_is_forgotten() {
    let mut now = Instant::now();
    let mut families = Families::new();
    let caller = |session: u32| Account {
        certificate: 1,
        session,
        root: Some(root()),
    };
    let one = families.join(caller(1), root(), 10, now).unwrap();
    one.has_used(Duration::from_millis(9), now);
    drop(one);
    now += MEMORY / 2;
    families.forget(now);
    let two = families.join(caller(1), root(), 10, now).unwrap();
    assert!(two.has_used(Duration::from_millis(1), now));
    // Another caller's is another one.
    assert!(families.join(caller(2), root(), 10, now).is_ok());
    assert!(families.join(caller(1), root(), 10, now).is_err());
    drop(two);
    now += MEMORY;
    families.forget(now);
    assert!(families.join(caller(1), root(), 10, now).is_ok());
    assert_eq!(families.by_root.len(), families.looks.len());
}

#[test]
fn very_many_families_are_not_all_known() {
    let now = Instant::now();
    let mut families = Families::new();
    for id in 0..2 * FAMILIES_MAX as u64 {
        let root = Root { id, ..root() };
        let account = Account {
            certificate: 1,
            session: 1,
            root: Some(root),
        };
        drop(families.join(account, root, 10, now).unwrap());
    }
    assert_eq!(families.by_root.len(), FAMILIES_MAX);
    for _ in 0..FAMILIES_MAX {
        families.forget(now);
    }
    assert_eq!(families.by_root.len(), FAMILIES_MAX / 2);
}
