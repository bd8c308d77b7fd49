//! The parser's work on what stands before the query, remembered.
//!
//! A merchant's URLs differ in their queries, and what stands before is the same in all of them: parsing it is the greatest
//! part of deciding. What the parser says of a text depends on nothing else, so that a thread that has parsed a text need
//! not parse it again. It remembers texts and not verdicts: what is checked is checked each time, and no answer depends on
//! what is remembered.

use ahash::RandomState;
use std::{cell::RefCell, mem, rc::Rc};
use url::{ParseError, Url};

/// Texts that a thread remembers at most: enough for the URLs of some hundred merchants.
const PLACES: usize = 1_024;

/// The longest of them in bytes, so that all take less than half a megabyte. Longer ones are parsed each time.
const LONGEST: usize = 128;

thread_local! {
    static PARSED: RefCell<Parsed> = RefCell::new(Parsed::default());
}

/// Parses a text, or remembers how it was parsed.
pub(super) fn parse(text: &str) -> Result<Rc<Url>, ParseError> {
    let url = PARSED.with_borrow_mut(|parsed| parsed.parse(text));
    debug_assert_eq!(url.as_deref().map_err(|error| *error), Url::parse(text).as_ref().map_err(|error| *error));
    url
}

/// What was parsed: each text in the one place that its hash tells.
struct Parsed {
    /// With seeds of its own. Whoever finds texts for the same place has them parsed each time, which is no more than it was.
    hasher: RandomState,
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    /// The hash of the last text that was not found here.
    missed: u64,
    remembered: Option<(Box<str>, Rc<Url>)>,
}

impl Default for Parsed {
    fn default() -> Self {
        let hasher = RandomState::with_seeds(1, 2, 3, 4);
        Self { hasher, places: (0..PLACES).map(|_| Place::default()).collect() }
    }
}

impl Parsed {
    fn parse(&mut self, text: &str) -> Result<Rc<Url>, ParseError> {
        if text.len() > LONGEST {
            return Url::parse(text).map(Rc::new);
        }
        let hash = self.hasher.hash_one(text);
        let place = &mut self.places[hash as usize % PLACES];
        if let Some((remembered, url)) = &place.remembered
            && **remembered == *text
        {
            return Ok(Rc::clone(url));
        }
        let url = Rc::new(Url::parse(text)?);
        // Only what comes again: a path that values were filled into is another one for each buyer.
        if mem::replace(&mut place.missed, hash) == hash {
            place.remembered = Some((text.into(), Rc::clone(&url)));
        }
        Ok(url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Whether that is the same parse as the one before.
    fn is_remembered(parsed: &mut Parsed, text: &str, before: &Rc<Url>) -> bool {
        Rc::ptr_eq(&parsed.parse(text).unwrap(), before)
    }

    #[test]
    fn what_comes_again_is_remembered_and_what_comes_once_is_not() {
        let mut parsed = Parsed::default();
        let text = "https://shop.example.com/paid";
        let first = parsed.parse(text).unwrap();
        assert!(!is_remembered(&mut parsed, text, &first));
        let second = parsed.parse(text).unwrap();
        assert!(is_remembered(&mut parsed, text, &second));
        // Many times as many others as there are places.
        for order in 0..8 * PLACES {
            parsed.parse(&format!("https://shop.example.com/orders/{order}")).unwrap();
        }
        assert!(is_remembered(&mut parsed, text, &second));
        assert_eq!(parsed.places.iter().filter(|place| place.remembered.is_some()).count(), 1);
    }

    #[test]
    fn a_text_makes_room_for_one_that_comes_again_in_its_place() {
        let mut parsed = Parsed::default();
        let place = |parsed: &Parsed, text: &str| parsed.hasher.hash_one(text) as usize % PLACES;
        let one = "https://shop.example.com/paid".to_owned();
        let mut others = (0..).map(|number| format!("https://shop.example.com/{number}"));
        let other = others.find(|other| place(&parsed, other) == place(&parsed, &one)).unwrap();
        let parses = [&one, &one, &other, &one, &other, &other].map(|text| parsed.parse(text).unwrap());
        assert!(Rc::ptr_eq(&parses[1], &parses[3]), "the other one came once");
        assert!(is_remembered(&mut parsed, &other, &parses[5]));
        assert!(!is_remembered(&mut parsed, &one, &parses[3]));
    }

    #[test]
    fn what_is_no_url_and_what_is_long_is_not_remembered() {
        let mut parsed = Parsed::default();
        let of_length = |bytes| format!("{:a<bytes$}", "https://shop.example.com/");
        let (longest, longer) = (of_length(LONGEST), of_length(LONGEST + 1));
        for _ in 0..4 {
            assert_eq!(parsed.parse("https://"), Err(ParseError::EmptyHost));
            assert_eq!(parsed.parse(&longer).unwrap().as_str(), longer);
        }
        assert!(parsed.places.iter().all(|place| place.remembered.is_none()));
        let parses = [(); 3].map(|()| parsed.parse(&longest).unwrap());
        assert!(Rc::ptr_eq(&parses[1], &parses[2]));
    }

    proptest! {
        // The debug build asks the parser about everything that is remembered; this looks at texts that are nearly the same.
        #[test]
        fn every_text_is_parsed_as_the_parser_does(texts in proptest::collection::vec("(http|https|app)://[Aab.]{0,3}[:/@\\\\]?[%a.]{0,3}", 0..60)) {
            let mut parsed = Parsed::default();
            for text in texts.iter().chain(&texts).chain(&texts) {
                prop_assert_eq!(parsed.parse(text).map(|url| (*url).clone()), Url::parse(text), "{}", text);
            }
        }
    }
}
