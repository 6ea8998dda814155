//! What a PostFilter plugin remembers from one pod of a class to the next.

use std::any::Any;
use std::fmt;

/// Room for one value of any type.
#[derive(Default)]
pub struct Memory(Option<Box<dyn Any + Send + Sync>>);

impl Memory {
    /// What is remembered; a fresh value if that is nothing, or of another type.
    pub fn of<T: Default + Send + Sync + 'static>(&mut self) -> &mut T {
        if !self.0.as_ref().is_some_and(|value| value.is::<T>()) {
            self.0 = Some(Box::new(T::default()));
        }
        let value = self.0.as_mut().and_then(|value| value.downcast_mut());
        value.expect("a value of this type was just put there")
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Memory(something)" } else { "Memory(nothing)" })
    }
}
