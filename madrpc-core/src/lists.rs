//! Many lists over one store, for what has to be found by key, taken from the front, and taken out of the middle, each at
//! the same cost however much there is.

use slab::Slab;

const NONE: usize = usize::MAX;

/// Names an item until it is taken out; it never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ItemKey {
    slot: u32,
    generation: u32,
}

impl ItemKey {
    /// The key as a number.
    #[must_use]
    pub fn to_number(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.slot)
    }

    /// The key with this number, which may name nothing.
    #[must_use]
    pub fn from_number(number: u64) -> Self {
        Self {
            slot: number as u32,
            generation: (number >> 32) as u32,
        }
    }
}

/// Names a list until it is dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ListKey(usize);

#[derive(Debug)]
struct List {
    first: usize,
    last: usize,
    length: usize,
}

#[derive(Debug)]
struct Item<T> {
    generation: u32,
    list: usize,
    previous: usize,
    next: usize,
    value: T,
}

/// The store of the lists and their items, of which there are fewer than 2³².
#[derive(Debug)]
pub struct Lists<T> {
    lists: Slab<List>,
    items: Slab<Item<T>>,
    last_generation: u32,
}

impl<T> Default for Lists<T> {
    fn default() -> Self {
        Self {
            lists: Slab::new(),
            items: Slab::new(),
            last_generation: 0,
        }
    }
}

impl<T> Lists<T> {
    /// A list without items.
    pub fn add_list(&mut self) -> ListKey {
        let list = List {
            first: NONE,
            last: NONE,
            length: 0,
        };
        ListKey(self.lists.insert(list))
    }

    /// Forgets a list, which must be empty and never used again.
    pub fn drop_list(&mut self, list: ListKey) {
        debug_assert_eq!(self.length(list), 0);
        self.lists.try_remove(list.0);
    }

    /// Items of a list.
    #[must_use]
    pub fn length(&self, list: ListKey) -> usize {
        self.lists.get(list.0).map_or(0, |list| list.length)
    }

    /// Items of all lists.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether all lists are empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The key that the next item gets.
    #[must_use]
    pub fn next_key(&self) -> ItemKey {
        ItemKey {
            slot: self.items.vacant_key() as u32,
            generation: self.last_generation.wrapping_add(1),
        }
    }

    /// Puts an item at the end of a list.
    pub fn push_back(&mut self, list: ListKey, value: T) -> ItemKey {
        let key = self.next_key();
        self.last_generation = key.generation;
        let slot = self.items.insert(Item {
            generation: key.generation,
            list: NONE,
            previous: NONE,
            next: NONE,
            value,
        });
        self.link(slot, list);
        key
    }

    /// An item, unless it has been taken out.
    #[must_use]
    pub fn get(&self, key: ItemKey) -> Option<&T> {
        let item = self.items.get(key.slot as usize)?;
        (item.generation == key.generation).then_some(&item.value)
    }

    /// An item, unless it has been taken out.
    pub fn get_mut(&mut self, key: ItemKey) -> Option<&mut T> {
        let item = self.items.get_mut(key.slot as usize)?;
        (item.generation == key.generation).then_some(&mut item.value)
    }

    /// The list that an item is in.
    #[must_use]
    pub fn list_of(&self, key: ItemKey) -> Option<ListKey> {
        let item = self.items.get(key.slot as usize)?;
        (item.generation == key.generation).then_some(ListKey(item.list))
    }

    /// The first item of a list, and its key.
    #[must_use]
    pub fn front(&self, list: ListKey) -> Option<(ItemKey, &T)> {
        self.at(self.lists.get(list.0)?.first)
    }

    /// The last item of a list, and its key.
    #[must_use]
    pub fn back(&self, list: ListKey) -> Option<(ItemKey, &T)> {
        self.at(self.lists.get(list.0)?.last)
    }

    /// The item that comes after one in its list; its key.
    #[must_use]
    pub fn after(&self, key: ItemKey) -> Option<ItemKey> {
        let item = self.items.get(key.slot as usize)?;
        let next = (item.generation == key.generation).then_some(item.next)?;
        self.at(next).map(|(key, _)| key)
    }

    fn at(&self, slot: usize) -> Option<(ItemKey, &T)> {
        let item = self.items.get(slot)?;
        let key = ItemKey {
            slot: slot as u32,
            generation: item.generation,
        };
        Some((key, &item.value))
    }

    /// Puts an item at the end of a list, and takes it out of the one it is in; it keeps its key.
    pub fn move_to(&mut self, key: ItemKey, list: ListKey) {
        if self.get(key).is_none() || !self.lists.contains(list.0) {
            return;
        }
        let slot = key.slot as usize;
        self.unlink(slot);
        self.link(slot, list);
    }

    fn link(&mut self, slot: usize, list: ListKey) {
        let Some(ends) = self.lists.get_mut(list.0) else {
            return;
        };
        let previous = std::mem::replace(&mut ends.last, slot);
        ends.length += 1;
        if previous == NONE {
            ends.first = slot;
        }
        if let Some(item) = self.items.get_mut(previous) {
            item.next = slot;
        }
        if let Some(item) = self.items.get_mut(slot) {
            (item.list, item.previous, item.next) = (list.0, previous, NONE);
        }
    }

    fn unlink(&mut self, slot: usize) {
        let Some(item) = self.items.get(slot) else {
            return;
        };
        let (previous, next) = (item.previous, item.next);
        if let Some(list) = self.lists.get_mut(item.list) {
            list.length -= 1;
            if previous == NONE {
                list.first = next;
            }
            if next == NONE {
                list.last = previous;
            }
        }
        if let Some(item) = self.items.get_mut(next) {
            item.previous = previous;
        }
        if let Some(item) = self.items.get_mut(previous) {
            item.next = next;
        }
    }

    /// Takes out the first item of a list.
    pub fn pop_front(&mut self, list: ListKey) -> Option<T> {
        let (key, _) = self.front(list)?;
        self.remove(key)
    }

    /// Takes out an item, from wherever in its list it is.
    pub fn remove(&mut self, key: ItemKey) -> Option<T> {
        self.get(key)?;
        self.unlink(key.slot as usize);
        let item = self.items.try_remove(key.slot as usize)?;
        Some(item.value)
    }

    /// Forgets an item after a last look at it, and gives what was seen: large ones are not carried about for that.
    pub fn forget<R>(&mut self, key: ItemKey, look: impl FnOnce(&T) -> R) -> Option<R> {
        let seen = look(self.get(key)?);
        self.unlink(key.slot as usize);
        self.items.try_remove(key.slot as usize)?;
        Some(seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    /// Few under Miri, which takes a thousand times as long.
    const ROUNDS: u64 = if cfg!(miri) { 1000 } else { 20_000 };

    #[test]
    fn lists_behave_as_queues_from_which_anything_may_be_taken() {
        let mut lists = Lists::default();
        let keys = [lists.add_list(), lists.add_list(), lists.add_list()];
        let mut models: [VecDeque<(ItemKey, u64)>; 3] = Default::default();
        let mut gone = Vec::new();
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        for round in 0..ROUNDS {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            let at = (chance % 3) as usize;
            let (list, model) = (keys[at], &mut models[at]);
            match (chance >> 8) % 6 {
                0 | 1 => {
                    let promised = lists.next_key();
                    let key = lists.push_back(list, round);
                    assert_eq!(key, promised);
                    model.push_back((key, round));
                }
                2 => {
                    let expected = model.pop_front();
                    assert_eq!(lists.pop_front(list), expected.map(|(_, value)| value));
                    gone.extend(expected.map(|(key, _)| key));
                }
                3 if !model.is_empty() => {
                    let at = (chance >> 16) as usize % model.len();
                    let (key, value) = model.remove(at).unwrap();
                    let seen = match chance & 1 {
                        0 => lists.remove(key),
                        _ => lists.forget(key, |value| *value),
                    };
                    assert_eq!(seen, Some(value));
                    gone.push(key);
                }
                4 if !model.is_empty() => {
                    let moved = model.remove((chance >> 16) as usize % model.len()).unwrap();
                    let to = (chance >> 32) as usize % 3;
                    assert_eq!(lists.list_of(moved.0), Some(list));
                    lists.move_to(moved.0, keys[to]);
                    assert_eq!(lists.list_of(moved.0), Some(keys[to]));
                    models[to].push_back(moved);
                }
                _ => {
                    if let Some(&key) = gone.get((chance >> 16) as usize % gone.len().max(1)) {
                        assert_eq!((lists.get(key), lists.list_of(key)), (None, None));
                        assert_eq!(lists.remove(key), None);
                        assert_eq!(lists.forget(key, |_| ()), None);
                    }
                }
            }
            assert_eq!(lists.length(list), models[at].len());
            let front = models[at].front().copied();
            assert_eq!(lists.front(list).map(|(key, value)| (key, *value)), front);
            let back = models[at].back().copied();
            assert_eq!(lists.back(list).map(|(key, value)| (key, *value)), back);
        }
        assert_eq!(lists.len(), models.iter().map(VecDeque::len).sum::<usize>());
    }

    #[test]
    fn a_key_keeps_its_number() {
        let mut lists = Lists::default();
        let list = lists.add_list();
        for value in 0..3 {
            let key = lists.push_back(list, value);
            assert_eq!(ItemKey::from_number(key.to_number()), key);
        }
        let strange = ItemKey::from_number(u64::MAX);
        assert_eq!(lists.get(strange), None);
        assert_eq!(lists.remove(strange), None);
    }
}
