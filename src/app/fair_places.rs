//! A number of places of which nobody takes so many that there are none for the others.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

/// Places for what lasts, and who holds them. Half of them are for whoever holds less than a quarter: a tenant alone has
/// half of them, and however many it asks for, three others find a quarter each.
#[derive(Clone)]
pub struct FairPlaces<K>(Arc<Shared<K>>);

struct Shared<K> {
    max: usize,
    held: Mutex<Held<K>>,
}

struct Held<K> {
    all: usize,
    /// Without those who hold none, so that it is never larger than the number of places.
    by_holder: HashMap<K, usize>,
}

/// A place that is taken until this is dropped.
pub struct FairPlace<K: Hash + Eq> {
    places: Arc<Shared<K>>,
    holder: Option<K>,
}

impl<K: Hash + Eq + Clone> FairPlaces<K> {
    /// So many places.
    pub fn new(max: usize) -> Self {
        Self(Arc::new(Shared { max, held: Mutex::new(Held { all: 0, by_holder: HashMap::new() }) }))
    }

    /// Takes a place, if there is one for that holder. Whoever is nobody in particular may have all of them.
    pub fn take(&self, holder: Option<&K>) -> Option<FairPlace<K>> {
        let Shared { max, held } = &*self.0;
        let mut held = held.lock().unwrap_or_else(PoisonError::into_inner);
        let own = holder.map_or(0, |holder| held.by_holder.get(holder).copied().unwrap_or(0));
        let has_its_share = own >= max.div_ceil(4);
        if held.all >= *max || (has_its_share && held.all >= max / 2) {
            return None;
        }
        held.all += 1;
        if let Some(holder) = holder {
            held.by_holder.insert(holder.clone(), own + 1);
        }
        Some(FairPlace { places: Arc::clone(&self.0), holder: holder.cloned() })
    }
}

impl<K: Hash + Eq> Drop for FairPlace<K> {
    fn drop(&mut self) {
        let mut held = self.places.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.all -= 1;
        let Some(holder) = &self.holder else { return };
        if let Some(own) = held.by_holder.get_mut(holder) {
            *own -= 1;
            if *own == 0 {
                held.by_holder.remove(holder);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take_all(places: &FairPlaces<&'static str>, holder: Option<&&'static str>) -> Vec<FairPlace<&'static str>> {
        std::iter::from_fn(|| places.take(holder)).collect()
    }

    #[test]
    fn one_holder_takes_half_of_the_places_and_others_find_a_quarter_each() {
        let places = FairPlaces::new(16);
        let greedy = take_all(&places, Some(&"greedy"));
        let [one, other] = [take_all(&places, Some(&"one")), take_all(&places, Some(&"other"))];
        assert_eq!((greedy.len(), one.len(), other.len()), (8, 4, 4));
        assert!(places.take(Some(&"late")).is_none(), "there are no more");
        drop(one);
        assert!(places.take(Some(&"greedy")).is_none());
        assert_eq!(take_all(&places, Some(&"late")).len(), 4);
    }

    #[test]
    fn whoever_is_nobody_in_particular_may_have_all_of_them() {
        let places = FairPlaces::<&str>::new(16);
        assert_eq!(take_all(&places, None).len(), 16);
    }

    #[test]
    fn few_places_are_for_everybody_too() {
        let places = FairPlaces::new(1);
        let place = places.take(Some(&"one"));
        assert!(place.is_some() && places.take(Some(&"other")).is_none());
        drop(place);
        assert!(places.take(Some(&"other")).is_some());
    }

    #[test]
    fn places_come_back_and_who_holds_none_is_forgotten() {
        let places = FairPlaces::new(8);
        drop(take_all(&places, Some(&"one")));
        let held = places.0.held.lock().unwrap();
        assert!(held.all == 0 && held.by_holder.is_empty());
    }
}
