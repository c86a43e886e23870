use super::*;

#[test]
fn each_caller_has_rows_of_its_own_whoever_came_first() {
    let mut rows = Rows::new();
    let (late, early) = (AccountKey::new(1, 2), AccountKey::new(0, 1));
    rows.push(Row::Queue, late, 0, "late");
    rows.push(Row::Queue, early, 0, "early");
    assert_eq!(rows.front(Row::Queue, early).unwrap().1, &"early");
    assert_eq!(rows.next_queue(|_| false), Some((late, false)));
    assert_eq!(rows.next_queue(|key| key == late), Some((early, false)));
    assert_eq!(
        (rows.length(Row::Queue), rows.of(early).waiting(Row::Queue)),
        (2, 1)
    );
}

#[test]
fn what_a_caller_has_is_counted_as_its_calls_go_from_row_to_row() {
    let mut rows = Rows::new();
    let (one, other) = (AccountKey::new(3, 1), AccountKey::new(4, 2));
    let key = rows.push(Row::Young, one, 0, 7);
    rows.push(Row::Old, other, 0, 8);
    let counts = |rows: &Rows<_>, caller| {
        let counts = rows.of(caller);
        (
            counts.young_of(Row::Queue),
            counts.running(),
            counts.lanes(),
        )
    };
    assert_eq!((rows.running(), counts(&rows, one)), (2, (1, 1, 1)));
    assert_eq!(counts(&rows, other), (0, 1, 1));
    rows.enter(key, Row::Ending);
    assert_eq!(counts(&rows, one), (0, 1, 1));
    assert_eq!(rows.front_of_all(Row::Ending), Some((key, &7)));
    assert_eq!(rows.next_runner(|_| false), Some((other, false)));
    rows.enter(key, Row::Waiting);
    assert_eq!((rows.running(), rows.row_of(key)), (1, Some(Row::Waiting)));
    assert_eq!(counts(&rows, one), (0, 0, 1));
    assert_eq!(rows.remove(key), Some(7));
    assert_eq!(rows.remove(key), None);
    assert_eq!(rows.of(one), Counts::default());
}

#[test]
fn what_calls_are_expected_to_cost_counts_while_they_want_the_core() {
    let mut rows = Rows::new();
    let (one, other) = (AccountKey::new(0, 1), AccountKey::new(1, 2));
    let load = |all_us: u64, own_us: u64, callers: usize| Load {
        all_us,
        own_us,
        callers,
    };
    assert_eq!(rows.load(one), load(0, 0, 1));
    let first = rows.push(Row::Queue, one, 100, ());
    let second = rows.push(Row::Old, one, 50, ());
    assert_eq!(rows.load(one), load(150, 150, 1));
    assert_eq!(rows.load(other), load(150, 0, 2));
    rows.push(Row::Young, other, 7, ());
    assert_eq!(rows.load(one), load(157, 150, 2));
    rows.enter(second, Row::Waiting);
    assert_eq!(rows.load(one), load(107, 100, 2));
    rows.remove(first);
    assert_eq!(rows.load(other), load(7, 7, 1));
    rows.enter(second, Row::Old);
    rows.remove(second);
    assert_eq!(rows.load(one), load(7, 0, 2));
}

#[test]
fn a_later_account_at_the_place_of_a_former_one_takes_its_turns() {
    let mut rows = Rows::new();
    rows.push(Row::Queue, AccountKey::new(0, 1), 0, ());
    rows.push(Row::Queue, AccountKey::new(0, 5), 0, ());
    rows.push(Row::Queue, AccountKey::new(0, 1), 0, ());
    assert_eq!(
        rows.next_queue(|_| false),
        Some((AccountKey::new(0, 5), false))
    );
}
