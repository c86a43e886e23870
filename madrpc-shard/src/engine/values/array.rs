//! Arrays in the making.

use super::raw::{Raw, pointer};
use crate::engine::preempt::stoppable;
use rquickjs::{Ctx, Result, qjs};
use std::mem::ManuallyDrop;

/// The arguments of nearly all calls are no more than this. The engine gets them all at once: to grow its array by each took a
/// thirtieth of the time of a tiny call.
const FEW: usize = 4;

pub(super) enum ArrayBuilder<'a, 'js> {
    Few(Few<'a, 'js>),
    Many(Raw<'a, 'js>),
}

/// Values that are owned, and are in no array yet.
pub(super) struct Few<'a, 'js> {
    ctx: &'a Ctx<'js>,
    values: [qjs::JSValue; FEW],
    length: usize,
}

impl Drop for Few<'_, '_> {
    fn drop(&mut self) {
        for value in &self.values[..self.length] {
            // SAFETY: the value is ours, and its context is borrowed for as long as we are.
            stoppable(|| unsafe { qjs::JS_FreeValue(pointer(self.ctx), *value) });
        }
    }
}

impl<'a, 'js> ArrayBuilder<'a, 'js> {
    /// One that will have so many elements.
    pub(super) fn new(ctx: &'a Ctx<'js>, length: usize) -> Result<Self> {
        if length > FEW {
            return Raw::array(ctx).map(Self::Many);
        }
        Ok(Self::Few(Few {
            ctx,
            values: [qjs::JS_UNDEFINED; FEW],
            length: 0,
        }))
    }

    /// Puts `value` at this index, which is the next one.
    pub(super) fn push(&mut self, index: usize, value: Raw<'a, 'js>) -> Result<()> {
        match self {
            Self::Many(array) => array.push(index, value),
            Self::Few(few) => {
                few.values[few.length] = value.into_raw();
                few.length += 1;
                Ok(())
            }
        }
    }

    pub(super) fn end(self) -> Result<Raw<'a, 'js>> {
        match self {
            Self::Many(array) => Ok(array),
            Self::Few(few) => {
                let few = ManuallyDrop::new(few);
                Raw::array_of(few.ctx, &few.values[..few.length])
            }
        }
    }
}
