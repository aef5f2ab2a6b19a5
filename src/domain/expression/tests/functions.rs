//! Functions of texts, lists, numbers and dates: what they give, what nulls and errors do to them.

use super::*;

fn list(ty: Type) -> Type {
    Type::List(Box::new(ty))
}

#[test]
fn of_text() {
    for (ty, source, json) in [
        (Type::String, "'Straße'.upper() + 'ÉTÉ'.lower() + 'É'.lowerAscii()", "\"STRASSEétéÉ\""),
        (Type::String, "'añb'.reverse() + 'añb'.charAt(1) + 'añb'.charAt(3)", "\"bñañ\""),
        (Type::String, "'tacocat'.substring(4) + 'añb'.substring(1, 2) + 'a'.substring(1)", "\"catñ\""),
        (Type::Integer, "'ñañb'.indexOf('ñ', 1) * 10 + 'ñañb'.indexOf('b')", "23"),
        (Type::Integer, "'ñañb'.lastIndexOf('ñ') * 10 + 'ñañb'.lastIndexOf('ñ', 1)", "20"),
        (Type::Integer, "'abc'.indexOf('x') + 'abc'.lastIndexOf('x', 1)", "-2"),
        (list(Type::String), "'a,b,,c'.split(',')", r#"["a","b","","c"]"#),
        (list(Type::String), "'a,b,,c'.split(',', 2)", r#"["a","b,,c"]"#),
        (list(Type::String), "'añb'.split('') + 'añb'.split('', 2) + 'a'.split('a', 0)", r#"["a","ñ","b","a","ñb"]"#),
        (list(Type::String), "''.split(',') + ''.split('')", r#"[""]"#),
        (
            Type::String,
            "'banana'.replace('an', 'o') + 'banana'.replace('a', '', 2) + 'ab'.replace('', '-')",
            r#""booabnna-a-b-""#,
        ),
        (
            Type::String,
            r"regex.replace('a1b22', '[0-9]+', '#') + regex.replace('a1b22', '[0-9]', '', 1)",
            "\"a#b#ab22\"",
        ),
        (Type::String, r"regex.replace('Ann Lee', r'(\w+) (\w+)', r'\2, \1 \\ \0')", r#""Lee, Ann \\ Ann Lee""#),
        (list(Type::String), "regex.split('a1b22c', '[0-9]+')", r#"["a","b","c"]"#),
        (Type::String, r#"strings.quote('a"b\n')"#, r#""\"a\\\"b\\n\"""#),
        (Type::String, "['a', 'b'].join('-') + ['x', event.nothing, 'y'].join() + [].join(',')", "\"a-bxy\""),
        (Type::String, "event.tags.map(t, strings.quote(t)).join(', ')", r#""\"a\", \"b\"""#),
    ] {
        check(&ty, source, json);
    }
    for (source, expected) in [
        (
            "'ÉTÉ'.equalsIgnoreCase('été') && 'Straße'.equalsIgnoreCase('STRASSE') && 'ΣΑΣ'.equalsIgnoreCase('σας')",
            true,
        ),
        ("'Newsletter'.containsIgnoreCase('LETTER') && 'Été'.startsWithIgnoreCase('éT')", true),
        ("'Été'.endsWithIgnoreCase('TÉ') && !'abc'.endsWithIgnoreCase('AB')", true),
        ("''.isEmpty() && event.nothing.isEmpty() && [].isEmpty() && null.isEmpty()", true),
        ("!event.name.isEmpty() && !event.tags.isEmpty() && !event.cart.isEmpty()", true),
        ("event.nothing.lower() == null && event.nothing.split(',') == null", true),
        ("'a'.indexOf(event.nothing) == null && 'a'.substring(0, event.cart.best.count) == null", true),
        ("event.nothing.equalsIgnoreCase('x')", false),
    ] {
        check_bool(source, expected);
    }
}

/// An integer field that holds another number fails where a number would do, too.
#[test]
fn what_widens_is_read_as_it_is_declared() {
    let event = map(r#"{"count":2.5,"sizes":[1,2.5],"items":[{"count":2.5}]}"#);
    for source in [
        "event.count + 0.5",
        "double(event.count)",
        "math.round(event.count)",
        "[event.count, 0.5].sum()",
        "event.sizes.avg()",
        "event.items.first().count + 0.5",
        "event.items.map(i, i.count + 0.5).sum()",
        "true ? event.count : 0.5",
    ] {
        let found = run_in(source, &Type::Number, &event);
        assert!(matches!(found, Err(EvalError::WrongType { .. })), "{source}: {found:?}");
    }
    let whole = map(r#"{"count":2.0,"sizes":[1,2.0]}"#);
    assert_eq!(run_in("event.count + 0.5 + event.sizes.avg()", &Type::Number, &whole), Ok(Value::Float(4.0)));
}

/// An argument that may be left out is no other: it fails where the text is null, too.
#[test]
fn errors_outweigh_nulls() {
    for source in [
        "event.nothing.indexOf('a', 1 / 0) == 0",
        "event.nothing.lastIndexOf('a', 1 / 0) == 0",
        "event.nothing.substring(0, 1 / 0) == 'a'",
        "event.nothing.split(',', 1 / 0).size() == 0",
        "event.nothing.replace('a', 'b', 1 / 0) == 'a'",
        "regex.replace(event.nothing, 'a', 'b', 1 / 0) == 'a'",
        "event.nothing.split(',').join(string(1 / 0)) == 'a'",
    ] {
        assert_eq!(run(source, &Type::Boolean), Err(EvalError::DivisionByZero), "{source}");
    }
}

#[test]
fn of_lists() {
    for (ty, source, json) in [
        (Type::Integer, "event.sizes.sum() * 10 + [].sum()", "60"),
        (Type::Number, "event.items.map(i, i.price * i.count).sum()", "20.0"),
        (Type::Duration, "[duration('1h'), duration('1m')].sum()", "3660000"),
        (Type::Number, "event.sizes.avg() + [1.5, event.nil].avg()", "3.5"),
        (Type::Integer, "event.sizes.max() * 10 + event.sizes.min()", "31"),
        (Type::Timestamp, "[now, event.at].max()", "\"2026-03-29T00:30:00.000Z\""),
        (Type::Timestamp, "math.least(now, event.at, profile.since)", "\"1970-01-02T00:00:00.000Z\""),
        (Type::Number, "math.greatest(event.total, 3, event.nil)", "59.9"),
        (Type::Integer, "math.greatest(event.sizes) + math.least(4)", "7"),
        (Type::Integer, "event.tags.count() * 100 + event.tags.countNull() * 10 + event.tags.size()", "213"),
        (list(Type::Integer), "[3, 1, 3, 2, 1].distinct()", "[3,1,2]"),
        (list(Type::Number), "[1, 1.0, 0.0, -0.0].distinct()", "[1,0.0]"),
        (list(Type::String), "['b', event.nothing, 'a', event.nothing].distinct()", r#"["b",null,"a"]"#),
        (list(Type::String), "['b', event.nothing, 'a'].sort()", r#"["a","b",null]"#),
        (list(Type::Number), "[2.5, -1, 10].sort().reverse()", "[10,2.5,-1]"),
        (list(Type::Timestamp), "[event.at, now].sort()", r#"["1970-01-02T00:00:00.000Z","2026-03-29T00:30:00.000Z"]"#),
        (list(Type::String), "event.items.sortBy(i, i.price).map(i, i.sku)", r#"["y2","x1"]"#),
        (list(Type::String), "event.items.distinctBy(i, i.count > 0).map(i, i.sku)", r#"["x1"]"#),
        (list(Type::Integer), "[[1, 1], [1, 1], [2]].distinct().flatten()", "[1,1,2]"),
        (
            list(Type::Integer),
            "event.sizes.limit(2) + event.sizes.limitLast(1) + event.sizes.limit(9)",
            "[1,2,3,1,2,3]",
        ),
        (list(Type::Integer), "event.sizes.slice(1, 3) + event.sizes.map(x, x).slice(0, 1)", "[2,3,1]"),
        (list(Type::Integer), "[3, 3, 1, 9].intersect(event.sizes)", "[3,1]"),
        (list(list(Type::Integer)), "[[1], [2]].intersect([[2], [3]])", "[[2]]"),
        (Type::String, "event.items.first().sku + event.items.last().sku", "\"x1y2\""),
        (Type::String, "event.items.filter(i, i.count in [4]).first().sku", "\"y2\""),
        (Type::Integer, "event.sizes.reverse().first() * 10 + [7].last()", "37"),
    ] {
        check(&ty, source, json);
    }
    for source in [
        "[].avg() == null && [].max() == null && [].first() == null && [].last() == null",
        "event.sizes.filter(x, x > 9).min() == null && math.least(event.nil, event.nil) == null",
        "event.sizes.limit(event.cart.best.count) == null && event.sizes.intersect([]) == []",
    ] {
        check_bool(source, true);
    }
    let empty = Map::new();
    for source in ["event.sizes.sum()", "event.sizes.count()", "event.tags.first().size()", "event.sizes.max()"] {
        assert_eq!(run_in(source, &Type::Integer, &empty), Ok(Value::Null), "{source}");
    }
}

#[test]
fn of_numbers_and_conversions() {
    for (ty, source, json) in [
        (
            list(Type::Number),
            "[math.round(2.5), math.round(-2.5), math.floor(-1.5), math.ceil(1.2)]",
            "[3.0,-3.0,-2.0,2.0]",
        ),
        (
            list(Type::Number),
            "[math.trunc(-1.7), math.abs(-1.5), math.sign(-0.0), math.sign(-2.0)]",
            "[-1.0,1.5,0.0,-1.0]",
        ),
        (Type::Integer, "math.abs(-3) * 10 + math.sign(event.count) + int(math.round(event.total))", "91"),
        (list(Type::Boolean), "[bool(1), bool(0.0), bool('t')]", "[true,false,true]"),
        (Type::Number, "int(true) + double(true) + double(false)", "2.0"),
        (Type::Integer, "millis(meta.time) + millis(duration('1.5s'))", "2500"),
        (Type::Timestamp, "timestampMillis(1500)", "\"1970-01-01T00:00:01.500Z\""),
        (Type::Duration, "durationMillis(event.count) + duration('-PT-1S')", "1003"),
    ] {
        check(&ty, source, json);
    }
}

#[test]
fn of_dates() {
    for (source, json) in [
        ("timestamp('2026-01-31T10:00:00Z').plus(1, 'months')", "2026-02-28T10:00:00.000Z"),
        ("timestamp('2024-02-29').plus(-1, 'years')", "2023-02-28T00:00:00.000Z"),
        ("event.at.plus(1, 'days')", "2026-03-30T00:30:00.000Z"),
        ("event.at.plus(1, 'days', 'Europe/Paris')", "2026-03-29T23:30:00.000Z"),
        ("event.at.plus(24, 'hours', profile.timezone)", "2026-03-30T00:30:00.000Z"),
        ("event.at.plus(2, 'weeks').plus(-30, 'minutes').plus(5, 'seconds')", "2026-04-12T00:00:05.000Z"),
        ("event.at.startOfDay()", "2026-03-29T00:00:00.000Z"),
        ("event.at.startOfDay('Europe/Paris')", "2026-03-28T23:00:00.000Z"),
        // 02:30 does not exist on that day in Paris: the clock goes from 02:00 to 03:00.
        ("event.at.setHours(2, 'Europe/Paris')", "2026-03-29T01:30:00.000Z"),
        ("event.at.setHours(9, 'Europe/Paris').setMinutes(0, 'Europe/Paris')", "2026-03-29T07:00:00.000Z"),
        ("event.at.setDate(1)", "2026-03-01T00:30:00.000Z"),
        ("timestamp('2026-03-01T09:00:00', 'Europe/Paris')", "2026-03-01T08:00:00.000Z"),
        ("timestamp('2026-03-01', 'Europe/Paris')", "2026-02-28T23:00:00.000Z"),
        ("timestamp('2026-03-01T09:00:00Z', 'Europe/Paris')", "2026-03-01T09:00:00.000Z"),
        ("timestamp('2026-10-25T02:30:00', profile.timezone)", "2026-10-25T00:30:00.000Z"),
    ] {
        check(&Type::Timestamp, source, &format!("\"{json}\""));
    }
    check(&Type::String, "string(event.at, 'Europe/Paris')", "\"2026-03-29T01:30:00.000+01:00\"");
    check(&Type::String, "string(event.at, '-03:30')", "\"2026-03-28T21:00:00.000-03:30\"");
    for (source, expected) in [
        ("timestamp('1970-01-01T12:00:00Z').inLast(12, 'hours') && !event.at.inLast(10, 'years')", true),
        ("timestamp('1970-01-01T11:59:59Z').inLast(12, 'hours')", false),
        ("now.inLast(0, 'days') && now.inNext(0, 'months') && !now.plus(1, 'seconds').inLast(1, 'days')", true),
        ("timestamp('1970-02-02').inNext(1, 'months') && !timestamp('1970-02-02T00:00:01Z').inNext(1, 'months')", true),
        ("event.at.inNext(-1, 'days') || profile.since.inLast(1, 'years')", false),
        ("event.at.daysSince(event.at.plus(-25, 'hours')) == 2", true),
        ("now.daysSince(event.at) == -20540 && event.at.daysSince(event.at) == 0", true),
        ("event.at.daysSince(event.at.plus(-2, 'hours'), '-12:00') == 0", true),
        ("profile.since.plus(1, 'days') == null && now.plus(event.cart.best.count, 'days') == null", true),
        ("now.startOfDay(event.nothing) == null", true),
    ] {
        check_bool(source, expected);
    }
}

#[test]
fn draws_are_by_their_seed() {
    for source in [
        "draw(meta.id) == draw('e1') && draw(meta.id) != draw(meta.id + ':b') && draw('') >= 0.0 && draw('') < 1.0",
        "uuid(meta.id) == uuid('e1') && uuid('a').matches('^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$')",
        "draw(event.nothing) == null && uuid(event.nothing) == null",
    ] {
        check_bool(source, true);
    }
}

#[test]
fn errors_of_functions() {
    let other = |text: &str| Err(EvalError::Other(text.to_owned()));
    for (source, expected) in [
        ("'abc'.charAt(4) == ''", other("place 4 is outside a text of 3 characters")),
        ("'abc'.substring(-1) == ''", other("place -1 is outside a text of 3 characters")),
        ("'abc'.substring(2, 1) == ''", other("text from 2 to 1 ends before it begins")),
        ("'abc'.indexOf('a', 9) == 0", other("place 9 is outside a text of 3 characters")),
        ("event.sizes.slice(1, 4) == []", other("1 to 4 is no part of a list of 3")),
        ("event.sizes.limit(-1) == []", other("-1 is no number of items")),
        ("[9223372036854775807, 1].sum() == 0", Err(EvalError::Overflow)),
        ("math.abs(-9223372036854775808) == 0", Err(EvalError::Overflow)),
        ("now.plus(9223372036854775807, 'hours') == now", Err(EvalError::Overflow)),
        ("now.plus(9223372036854775807, 'years') == now", Err(EvalError::Overflow)),
        ("now.inLast(-9223372036854775808, 'days')", Err(EvalError::Overflow)),
        ("now.setHours(24) == now", other("24 is no time of day")),
        ("now.plus(31, 'days').setDate(30) == now", other("30 is no day of that month")),
        ("now.startOfDay(event.name) == now", other("\"Ann\" is no time zone")),
        ("timestamp(event.name, 'UTC') == now", other("text \"Ann\" is no timestamp")),
        ("timestampMillis(9223372036854775807) == now", other("9223372036854775807 ms is no instant of the calendar")),
    ] {
        assert_eq!(run(source, &Type::Boolean), expected, "{source}");
    }
    let event = map(r#"{"sizes":[1,"a"],"tags":["a",2],"items":[1]}"#);
    for source in
        ["event.sizes.sum() == 1", "event.tags.sort() == []", "event.tags.distinct() == []", "event.tags.join() == ''"]
    {
        assert!(matches!(run_in(source, &Type::Boolean, &event), Err(EvalError::WrongType { .. })), "{source}");
    }
}

#[test]
fn functions_are_checked_at_publish() {
    for (source, code, mark, suggestion) in [
        ("event.name.sum() == 1", "type_mismatch", "           ^", ""),
        ("event.tags.sum() == 1", "type_mismatch", "           ^", ""),
        ("event.items.max() == 1", "type_mismatch", "            ^", "list.map(x, x.field).max()"),
        ("event.items.sort() == []", "type_mismatch", "            ^", "sortBy"),
        ("event.items.sortBy(i.price) == []", "wrong_arguments", "            ^", ""),
        ("event.items.sortBy('price', 1) == []", "syntax", "                   ^", "x.key"),
        ("event.items.sortBy(i, i) == []", "type_mismatch", "                      ^", "sortBy"),
        ("event.sizes.join(',') == ''", "type_mismatch", "            ^", "string(x)"),
        ("event.sizes.intersect(event.tags) == []", "type_mismatch", "            ^", ""),
        ("event.sizes.flatten() == []", "type_mismatch", "            ^", ""),
        ("event.name.replace('a') == ''", "wrong_arguments", "           ^", ""),
        ("event.name.substring('a') == ''", "type_mismatch", "                     ^", "int"),
        ("event.count.plus(1, 'days') == now", "type_mismatch", "            ^", ""),
        ("now.plus(1, 'day') == now", "bad_literal", "            ^", "`days`"),
        ("now.plus(1, event.name) == now", "bad_literal", "                 ^", "'months'"),
        ("now.startOfDay('Mars') == now", "bad_literal", "    ^", "IANA"),
        ("timestamp('soon', 'UTC') == now", "bad_literal", "^", "2026-03-01"),
        ("timestamp('2026-01-01', 'Mars') == now", "bad_literal", "^", "IANA"),
        ("regex.replace('a', event.name, 'b') == ''", "bad_literal", "                        ^", "text.replace"),
        ("regex.replace('a', 'a', r'\\1') == ''", "bad_literal", "                        ^", ""),
        ("regex.find('a', 'a') == ''", "unknown_function", "      ^", ""),
        ("math.flor(1.5) == 1.0", "unknown_function", "     ^", "`math.floor`"),
        ("math.greatest(1, 'a') == 1", "type_mismatch", "                 ^", ""),
        ("math.greatest() == 1", "wrong_arguments", "     ^", ""),
        ("draw(1) < 0.5", "type_mismatch", "^", "string"),
        ("draw() < 0.5", "wrong_arguments", "^", ""),
        // Names of AJO and of other languages.
        ("random() < 0.5", "unknown_function", "^", "`draw(meta.id)`"),
        ("uuid() == ''", "wrong_arguments", "^", ""),
        ("inAudience('vip')", "unknown_function", "^", "profile"),
        ("containIgnoreCase(event.name, 'a')", "unknown_function", "^", "`text.containsIgnoreCase(part)`"),
        ("nowWithDelta(1, 'days') > now", "unknown_function", "^", "`now.plus(n, 'days', zone)`"),
        ("inLastDays(event.at, 3)", "unknown_function", "^", "`t.inLast(n, 'days')`"),
        ("serializeList(event.tags, ',', true) == ''", "unknown_function", "^", "`list.join(separator)`"),
        ("round(event.total) == 1", "unknown_function", "^", "`math.round(x)`"),
        ("toDateTimeOnly('2026-01-01') < now", "unknown_function", "^", "`timestamp(text, zone)`"),
        ("event.name.lenght() == 1", "unknown_function", "           ^", ""),
        ("event.name.length() == 1", "unknown_function", "           ^", "`size(text)`"),
        ("event.tags.average() == 1", "unknown_function", "           ^", "`avg`"),
        ("sum(event.sizes) == 1", "unknown_function", "^", "`list.sum()`"),
        ("replace(event.name, 'a', 'b') == ''", "unknown_function", "^", "regex.replace"),
        ("sortBy(event.items, 1) == []", "unknown_function", "^", "`list.sortBy(x, …)`"),
    ] {
        check_error(source, &Type::Boolean, code, mark, suggestion);
    }
}

#[test]
fn a_variable_may_be_called_as_a_namespace() {
    check(&list(Type::String), "event.tags.filter(math, math.startsWith('a'))", r#"["a"]"#);
}

#[test]
fn new_functions_keep_the_budget() {
    let text = Value::Str(SmolStr::new("xy".repeat(200_000)));
    let sizes = Value::List((0..20_000).map(Value::Int).collect());
    let event = Map(vec![(SmolStr::new("text"), text), (SmolStr::new("sizes"), sizes)]);
    let spent = Err(EvalError::Other("expression took too many steps".to_owned()));
    for source in [
        "event.text.replace('', event.text) == ''",
        "event.sizes.map(x, event.text).join(event.text) == ''",
        "regex.replace(event.text, '.*z|x', 'y') == ''",
        "regex.split(event.text, '.*z|x') == []",
        "regex.replace(event.text, '(x)', r'\\1\\1') == ''",
        "event.sizes.exists(x, event.text.lower() == '')",
        "event.sizes.exists(x, event.text.split('').size() == 1)",
        "event.sizes.exists(x, event.sizes.sort() == [])",
        "event.sizes.exists(x, event.sizes.sum() == 1)",
        "event.sizes.exists(x, event.sizes.sortBy(y, -y) == [])",
        "event.sizes.map(x, [x]).distinct() == []",
        "event.sizes.exists(x, event.sizes.intersect([1]) == [])",
        "event.sizes.map(x, event.sizes).flatten() == []",
    ] {
        assert_eq!(run_in(source, &Type::Boolean, &event), spent, "{source}");
    }
}
