//! Definitions of other engines, drawn: everything they may say, and some that they may not.

use serde_json::{Map, Value, json};

/// Choices from bytes; zeros at their end, so that fewer bytes are a smaller definition.
pub struct Dice<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Dice<'b> {
    pub fn of_bytes(bytes: &'b [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Dice<'_> {
    fn roll(&mut self) -> usize {
        let byte = self.bytes.get(self.at).copied().unwrap_or_default();
        self.at += 1;
        usize::from(byte)
    }

    fn of<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.roll() % choices.len()].clone()
    }

    /// A node's id, sometimes of one that is not there.
    fn id(&mut self) -> String {
        format!("n{}", self.roll() % 8)
    }

    fn text(&mut self) -> String {
        let words = [
            "plan",
            "pro",
            "first name",
            "a.b",
            "ü\u{1}",
            "",
            "true",
            "{{User.UserId}}",
            "{% if x %}",
            "'\\",
            "2026-05-01T00:00:00Z",
        ];
        self.of(&words).to_owned()
    }

    fn number(&mut self) -> f64 {
        self.of(&[0.0, 1.0, 33.3, 50.0, 100.0, -5.0, 1e300, 259_200.0])
    }

    fn span(&mut self) -> &'static str {
        self.of(&["PT1H", "P2D", "P400D", "PT0S", "P1M", "soon", ""])
    }

    fn many(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        (0..self.roll() % 4).map(|_| one(self)).collect()
    }

    fn map(&mut self, mut one: impl FnMut(&mut Self) -> Value) -> Value {
        let entries: Map<String, Value> = (0..self.roll() % 3).map(|_| (self.text(), one(self))).collect();
        Value::Object(entries)
    }
}

/// Texts that templates may hold.
fn template(dice: &mut Dice<'_>) -> String {
    let parts = [
        "<p>",
        "{{user.a}}",
        "{{ user.a.b }}",
        "{{journey.in.event.y}}",
        "{{event.z}}",
        "{{User.UserAttributes.Plan}}",
        "{{Attributes.Plan}}",
        "{{#if user.vip}}",
        "{{else}}",
        "{{/if}}",
        "{% if user.vip == 'x' %}",
        "{% else %}",
        "{% endif %}",
        "{#",
        "{% raw %}",
        "{{{user.h}}}",
        "{{ user.n | default: 'x' }}",
        "{{#each user.l}}",
        "{{/each}}",
        "{{",
        "%}",
        "{{User.UserId}}",
        "\r\n",
        "{{ user.id | size }}",
    ];
    (0..dice.roll() % 6).map(|_| dice.of(&parts)).collect()
}

fn pinpoint_dimension(dice: &mut Dice<'_>) -> Value {
    let kind = dice.of(&["INCLUSIVE", "EXCLUSIVE", "CONTAINS", "BEFORE", "AFTER", "ON", "BETWEEN", "LIKE"]);
    json!({"AttributeType": kind, "Values": dice.many(|dice| json!(dice.text()))})
}

fn pinpoint_events(dice: &mut Dice<'_>) -> Value {
    let metric = |dice: &mut Dice<'_>| json!({"ComparisonOperator": dice.of(&["EQUAL", "LESS_THAN", "?"]), "Value": dice.number()});
    let event = |dice: &mut Dice<'_>| {
        json!(dice.of(&["_email.open", "_SMS.SUCCESS", "_session.start", "bought", "sojourn.x", ""]))
    };
    json!({
        "EventType": {"DimensionType": dice.of(&["INCLUSIVE", "EXCLUSIVE"]), "Values": dice.many(event)},
        "Attributes": dice.map(pinpoint_dimension),
        "Metrics": dice.map(metric),
    })
}

fn pinpoint_condition(dice: &mut Dice<'_>) -> Value {
    match dice.roll() % 4 {
        0 => json!({"SegmentCondition": {"SegmentId": dice.text()}}),
        1 => json!({"EventCondition": {"Dimensions": pinpoint_events(dice), "MessageActivity": dice.id()}}),
        2 => {
            json!({"SegmentDimensions": {"UserAttributes": dice.map(pinpoint_dimension), "Attributes": dice.map(pinpoint_dimension)}})
        }
        _ => json!({"EventCondition": {"Dimensions": pinpoint_events(dice)}}),
    }
}

pub fn pinpoint(dice: &mut Dice<'_>) -> Value {
    let mut activities = Map::new();
    for index in 0..dice.roll() % 8 {
        let wait = json!({"WaitFor": dice.span(), "WaitUntil": dice.of(&["", "", "2026-12-01T08:00:00Z", "never"])});
        let send = json!({"TemplateName": dice.text(), "NextActivity": dice.id()});
        let activity = match dice.roll() % 12 {
            0 => json!({"EMAIL": send}),
            1 => json!({"SMS": send}),
            2 => json!({"PUSH": send}),
            3 => {
                json!({"CUSTOM": {"DeliveryUri": dice.of(&["https://a.example/x", "arn:aws:x", "http://{{"]), "MessageConfig": {"Data": dice.text()}, "NextActivity": dice.id()}})
            }
            4 => json!({"Wait": {"WaitTime": wait, "NextActivity": dice.id()}}),
            5 | 6 => json!({"ConditionalSplit": {
                "Condition": {"Conditions": dice.many(pinpoint_condition), "Operator": dice.of(&["ALL", "ANY", "XOR"])},
                "EvaluationWaitTime": wait, "TrueActivity": dice.id(), "FalseActivity": dice.id(),
            }}),
            7 => json!({"MultiCondition": {
                "Branches": dice.many(|dice| json!({"Condition": pinpoint_condition(dice), "NextActivity": dice.id()})),
                "EvaluationWaitTime": wait, "DefaultActivity": dice.id(),
            }}),
            8 => {
                json!({"RandomSplit": {"Branches": dice.many(|dice| json!({"Percentage": dice.number(), "NextActivity": dice.id()}))}})
            }
            9 => json!({"Holdout": {"Percentage": dice.number(), "NextActivity": dice.id()}}),
            10 => json!({"ContactCenter": {"NextActivity": dice.id()}, "Description": dice.text()}),
            _ => {
                json!({"Unheard": {"NextActivity": dice.id()}, "EMAIL": dice.of(&[json!(null), json!(7), json!({"Odd": 1})])})
            }
        };
        activities.insert(format!("n{index}"), activity);
    }
    let start = match dice.roll() % 3 {
        0 => json!({"SegmentStartCondition": {"SegmentId": dice.text()}}),
        1 => {
            json!({"EventStartCondition": {"EventFilter": {"Dimensions": pinpoint_events(dice), "FilterType": "ENDPOINT"}, "SegmentId": dice.text()}})
        }
        _ => json!({}),
    };
    let journey = json!({
        "Name": dice.text(), "StartActivity": dice.id(), "StartCondition": start, "Activities": activities,
        "Limits": {"EndpointReentryCap": dice.roll() % 3, "EndpointReentryInterval": dice.span()},
        "Schedule": {"StartTime": dice.of(&["2026-01-01T00:00:00Z", "x", "0001-01-01T00:00:00Z"]), "EndTime": dice.of(&["2027-01-01T00:00:00+02:00", "2025-01-01T00:00:00Z"])},
    });
    let mail = |dice: &mut Dice<'_>, name: &str| json!({"TemplateName": name, "TemplateType": "EMAIL", "Subject": template(dice), "HtmlPart": template(dice), "DefaultSubstitutions": dice.of(&["{\"User.UserAttributes.Plan\":\"it's\"}", "{", ""])});
    json!([journey, mail(dice, "plan"), mail(dice, "a.b"), {"TemplateName": "plan", "TemplateType": "SMS", "Body": template(dice)}])
}

fn dittofeed_operator(dice: &mut Dice<'_>) -> Value {
    let kinds = [
        "Equals",
        "NotEquals",
        "Exists",
        "NotExists",
        "Within",
        "HasBeen",
        "AbsoluteTimestamp",
        "LessThan",
        "GreaterThanOrEqual",
    ];
    let value = dice.of(&[json!("pro"), json!(3), json!(true), json!(null)]);
    json!({"type": dice.of(&kinds), "value": value, "windowSeconds": dice.number(), "absoluteTimestamp": dice.text(), "direction": "before"})
}

fn dittofeed_segment_node(dice: &mut Dice<'_>, id: &str) -> Value {
    let kinds = [
        "Trait",
        "And",
        "Or",
        "Performed",
        "KeyedPerformed",
        "Everyone",
        "Includes",
        "Manual",
        "Email",
        "RandomBucket",
    ];
    let property = |dice: &mut Dice<'_>| json!({"path": dice.text(), "operator": dittofeed_operator(dice)});
    json!({
        "id": id, "type": dice.of(&kinds), "path": dice.text(), "operator": dittofeed_operator(dice), "item": dice.text(),
        "children": dice.many(|dice| json!(dice.id())), "event": dice.text(), "key": dice.text(), "properties": dice.many(property),
        "times": dice.of(&[json!(null), json!(1), json!(2)]),
    })
}

pub fn dittofeed(dice: &mut Dice<'_>) -> Value {
    let mut nodes = Vec::new();
    for index in 0..dice.roll() % 8 {
        let segment = dice.of(&["s0", "s1", "s2"]);
        let variant = match dice.roll() % 5 {
            0 => json!({"type": "Second", "seconds": dice.number()}),
            1 => {
                json!({"type": "LocalTime", "hour": dice.roll() % 26, "minute": 30, "allowedDaysOfWeek": dice.many(|dice| json!(dice.roll() % 9)), "defaultTimezone": dice.of(&["Europe/Berlin", "Mars/Base"])})
            }
            2 => {
                json!({"type": "UserProperty", "userProperty": dice.text(), "offsetSeconds": dice.number(), "offsetDirection": "before"})
            }
            3 => json!({"type": "Boolean", "segment": segment, "trueChild": dice.id(), "falseChild": "ExitNode"}),
            _ => json!({"type": dice.of(&["Email", "Sms", "Webhook", "MobilePush"]), "templateId": dice.text()}),
        };
        let kind = dice.of(&[
            "DelayNode",
            "MessageNode",
            "SegmentSplitNode",
            "RandomCohortNode",
            "WaitForNode",
            "RateLimitNode",
            "ExitNode",
            "OtherNode",
        ]);
        nodes.push(json!({
            "id": format!("n{index}"), "type": kind, "variant": variant, "child": dice.id(), "timeoutSeconds": dice.number(), "timeoutChild": dice.id(),
            "children": dice.many(|dice| json!({"id": dice.id(), "percent": dice.number(), "name": dice.text()})),
            "segmentChildren": dice.many(|dice| json!({"id": dice.id(), "segmentId": dice.of(&["s0", "s1", "s2"])})),
        }));
    }
    let entry = match dice.roll() % 3 {
        0 => json!({"type": "EntryNode", "segment": dice.of(&["s0", "s1", "s2"]), "child": dice.id(), "reEnter": true}),
        1 => json!({"type": "EventEntryNode", "event": dice.text(), "key": dice.text(), "child": dice.id()}),
        _ => json!({"type": "EventEntryNode", "event": "go", "child": dice.id()}),
    };
    let segment = |dice: &mut Dice<'_>, id: &str| {
        let nodes: Vec<Value> = (0..3).map(|index| dittofeed_segment_node(dice, &format!("n{index}"))).collect();
        json!({"id": id, "name": dice.text(), "definition": {"entryNode": dittofeed_segment_node(dice, "top"), "nodes": nodes}})
    };
    let segments = [segment(dice, "s0"), segment(dice, "s1")];
    json!({
        "journeys": [{"id": "j", "name": dice.text(), "status": "Running", "canRunMultiple": dice.of(&[true, false]),
            "definition": {"entryNode": entry, "exitNode": {"type": "ExitNode"}, "nodes": nodes}}],
        "segments": segments,
        "templates": [
            {"id": "plan", "name": dice.text(), "definition": {"type": "Email", "from": dice.text(), "subject": template(dice), "body": template(dice)}},
            {"id": "pro", "name": dice.text(), "definition": {"type": "Webhook", "body": json!({"config": {"url": "https://a.example", "data": template(dice)}}).to_string()}},
            {"id": "", "draft": {"type": "Sms", "body": template(dice)}},
        ],
    })
}

fn parcelvoy_rule(dice: &mut Dice<'_>, depth: usize) -> Value {
    let kind = if depth == 0 { dice.of(&["string", "number", "boolean", "date", "array"]) } else { "wrapper" };
    let operators =
        ["=", "!=", "<", "is set", "is not set", "and", "or", "xor", "none", "empty", "contains", "starts with", "any"];
    let children = if depth == 0 { json!([]) } else { dice.many(|dice| parcelvoy_rule(dice, depth - 1)) };
    json!({
        "type": kind, "group": dice.of(&["user", "event"]), "path": dice.of(&["$.name", "$.plan", "$.a.b", "$.c[0]", "id"]),
        "operator": dice.of(&operators), "value": dice.of(&[json!("bought"), json!(3), json!(null), json!("2026-01-01"), json!("{{x}}")]),
        "children": children,
    })
}

pub fn parcelvoy(dice: &mut Dice<'_>) -> Value {
    let mut steps = Map::new();
    let first = json!({"type": "entrance", "id": 1, "data_key": "in", "children": [{"external_id": dice.id()}], "data": {
        "trigger": dice.of(&["none", "event", "schedule"]), "event_name": dice.text(), "multiple": dice.of(&[true, false]), "concurrent": dice.of(&[true, false]), "rule": parcelvoy_rule(dice, 2)}});
    steps.insert("in".to_owned(), first);
    for index in 0..dice.roll() % 8 {
        let kinds = [
            "delay",
            "action",
            "gate",
            "experiment",
            "link",
            "update",
            "balancer",
            "exit",
            "event",
            "entrance",
            "sticky",
        ];
        let templates = [
            "{\"a\": 1, \"b\": \"{{user.c}}\", \"d\": [1], \"e.f\": true}",
            "{\"x\": \"{{journey.in.event.y}}\"}",
            "{{",
            "",
        ];
        let child = |dice: &mut Dice<'_>| json!({"external_id": dice.id(), "path": dice.of(&["yes", "no", "maybe"]), "data": {"ratio": dice.number()}});
        steps.insert(format!("n{index}"), json!({
            "type": dice.of(&kinds), "id": index + 2, "name": dice.text(), "children": dice.many(child),
            "data": {
                "format": dice.of(&["duration", "time", "date"]), "days": dice.number(), "time": dice.of(&["08:15", "25:00", ""]),
                "date": dice.of(&["2026-05-01", "{{user.when}}", "{{x y}}", "soon"]), "campaign_id": dice.roll() % 3, "rule": parcelvoy_rule(dice, 2),
                "target_id": dice.roll() % 9, "delay": "1 hour", "template": dice.of(&templates), "event_name": dice.text(), "entrance_uuid": "in",
            },
        }));
    }
    let mail = |dice: &mut Dice<'_>, id: usize| {
        json!({"id": id, "name": dice.text(), "channel": dice.of(&["email", "text", "webhook"]), "templates": [
        {"locale": "en", "data": {"from": {"name": dice.text(), "address": "a@b.example"}, "subject": template(dice), "html": template(dice), "endpoint": "https://a.example", "body": {"k": template(dice)}}}]})
    };
    json!([steps, mail(dice, 0), mail(dice, 1)])
}
