//! The parser's work on what stands before the query, remembered.
//!
//! A merchant's URLs differ in their queries, and what stands before is the same in many of them: parsing it would be the
//! greatest part of deciding. What the parser says of a text depends on nothing else, so that a thread that has parsed a
//! text often need not parse it again. It remembers texts and not verdicts: what is checked is checked each time, and no
//! answer depends on what is remembered.

use ahash::RandomState;
use std::{cell::RefCell, rc::Rc};
use url::{ParseError, Url};

/// Texts that a thread remembers at most: a few hundred have places that they hardly share.
const PLACES: usize = 1_024;

/// The longest text in bytes, as it was given and as the parser writes it, so that all take less than half a megabyte.
/// Longer ones are parsed each time.
const LONGEST: usize = 128;

/// How often a text has to come before it is remembered, without another one for its place in between. What one buyer's
/// session has alone comes up to ten times as it is created, for each slot and for each outcome, and then hardly any more.
const OFTEN: u8 = 16;

thread_local! {
    static PARSED: RefCell<Parsed> = RefCell::new(Parsed::default());
}

/// Parses a text, unless this thread remembers its parse.
pub(super) fn parse(text: &str) -> Result<Rc<Url>, ParseError> {
    let url = PARSED.with_borrow_mut(|parsed| parsed.parse(text));
    debug_assert_eq!(url.as_deref().map_err(|error| *error), Url::parse(text).as_ref().map_err(|error| *error));
    url
}

/// What was parsed: each text in the one place that its hash tells.
struct Parsed {
    /// Its seeds are no secret. Whoever finds texts for another one's place has that parsed each time, which costs a tenth
    /// more than the parse alone.
    hasher: RandomState,
    places: Box<[Place]>,
}

#[derive(Default)]
struct Place {
    remembered: Option<(Box<str>, Rc<Url>)>,
    /// The hash of the last text that was another one.
    missed: u64,
    /// How often it was that one in a row.
    times: u8,
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
        if place.is_often_missed(hash) && url.as_str().len() <= LONGEST {
            // A copy, as the parser's own has room to grow.
            place.remembered = Some((text.into(), Rc::new((*url).clone())));
        }
        Ok(url)
    }
}

impl Place {
    /// Counts a text that is not remembered here.
    const fn is_often_missed(&mut self, hash: u64) -> bool {
        self.times = if self.missed == hash { self.times.saturating_add(1) } else { 1 };
        self.missed = hash;
        self.times >= OFTEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PAID: &str = "https://shop.example.com/paid";

    /// The last of so many parses of a text.
    fn parse_times(parsed: &mut Parsed, text: &str, times: u8) -> Rc<Url> {
        let mut parses: Vec<_> = (0..times).map(|_| parsed.parse(text).unwrap()).collect();
        parses.pop().unwrap()
    }

    /// A parse that is remembered, if anything is.
    fn often(parsed: &mut Parsed, text: &str) -> Rc<Url> {
        parse_times(parsed, text, OFTEN + 1)
    }

    /// Whether that parse is remembered.
    fn is_remembered(parsed: &mut Parsed, text: &str, before: &Rc<Url>) -> bool {
        Rc::ptr_eq(&parsed.parse(text).unwrap(), before)
    }

    fn place(parsed: &Parsed, text: &str) -> usize {
        parsed.hasher.hash_one(text) as usize % PLACES
    }

    /// Another text, whose place is the same as that of [`PAID`] or is not.
    fn other(parsed: &Parsed, same: bool) -> String {
        let mut others = (0..).map(|number| format!("https://shop.example.com/{number}"));
        others.find(|other| (place(parsed, other) == place(parsed, PAID)) == same).unwrap()
    }

    #[test]
    fn what_comes_often_is_remembered_and_what_comes_when_a_session_is_created_is_not() {
        let mut parsed = Parsed::default();
        let paid = often(&mut parsed, PAID);
        let other = other(&parsed, false);
        let elsewhere = often(&mut parsed, &other);
        // Many times as many sessions as there are places.
        for order in 0..8 * PLACES {
            let text = format!("https://shop.example.com/orders/{order}");
            parse_times(&mut parsed, &text, OFTEN - 1);
        }
        assert!(is_remembered(&mut parsed, PAID, &paid) && is_remembered(&mut parsed, &other, &elsewhere));
        assert_eq!(parsed.places.iter().filter(|place| place.remembered.is_some()).count(), 2);
    }

    #[test]
    fn a_text_makes_room_for_one_that_comes_often_in_its_place() {
        let mut parsed = Parsed::default();
        let paid = often(&mut parsed, PAID);
        let other = other(&parsed, true);
        parse_times(&mut parsed, &other, OFTEN - 1);
        assert!(is_remembered(&mut parsed, PAID, &paid));
        let instead = often(&mut parsed, &other);
        assert!(is_remembered(&mut parsed, &other, &instead));
        assert!(!is_remembered(&mut parsed, PAID, &paid));
    }

    #[test]
    fn texts_that_take_turns_in_a_place_leave_it_as_it_is() {
        let mut parsed = Parsed::default();
        let other = other(&parsed, true);
        for _ in 0..2 * OFTEN {
            for text in [PAID, &*other] {
                parse_times(&mut parsed, text, 1);
            }
        }
        assert!(parsed.places.iter().all(|place| place.remembered.is_none()));
    }

    #[test]
    fn what_is_no_url_and_what_is_long_or_written_long_is_not_remembered() {
        let mut parsed = Parsed::default();
        let of_length = |bytes| format!("{:a<bytes$}", "https://shop.example.com/");
        let quoted = of_length(LONGEST - 1) + "\"";
        for text in [of_length(LONGEST + 1), quoted] {
            let url = often(&mut parsed, &text);
            assert!(!is_remembered(&mut parsed, &text, &url), "{text}");
        }
        (0..2 * OFTEN).for_each(|_| assert_eq!(parsed.parse("https://"), Err(ParseError::EmptyHost)));
        assert!(parsed.places.iter().all(|place| place.remembered.is_none()));
        let longest = of_length(LONGEST);
        let url = often(&mut parsed, &longest);
        assert!(is_remembered(&mut parsed, &longest, &url));
    }

    proptest! {
        // The debug build asks the parser about everything that is remembered; this looks at texts that are nearly the same.
        #[test]
        fn every_text_is_parsed_as_the_parser_does(texts in proptest::collection::vec("(http|https|app)://[Aab.]{0,3}[:/@\\\\]?[%a.]{0,3}", 0..60)) {
            let mut parsed = Parsed::default();
            for text in texts.iter().flat_map(|text| std::iter::repeat_n(text, 20)).chain(&texts) {
                prop_assert_eq!(parsed.parse(text).map(|url| (*url).clone()), Url::parse(text), "{}", text);
            }
        }
    }
}
