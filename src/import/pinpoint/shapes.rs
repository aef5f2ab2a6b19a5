//! The JSON of Amazon Pinpoint (API version 2016-12-01): journeys as `get-journey` answers them and `create-journey` takes
//! them, message templates and segments as `get-…-template` and `get-segment` answer them.

use serde_json::{Map, Value};

shape! { "PascalCase",
    /// `JourneyResponse` and `WriteJourneyRequest`.
    Journey {
        activities: Map<String, Value>,
        application_id: Value,
        closed_days: Value,
        creation_date: Value,
        id: String,
        journey_channel_settings: Value,
        last_modified_date: Value,
        limits: Limits,
        local_time: bool,
        name: String,
        open_hours: Value,
        quiet_time: Value,
        refresh_frequency: String,
        refresh_on_segment_update: bool,
        schedule: Schedule,
        sending_schedule: bool,
        start_activity: String,
        start_condition: StartCondition,
        state: String,
        #[serde(rename = "tags")]
        tags: Value,
        timezone_estimation_methods: Value,
        wait_for_quiet_time: bool,
    }
}

shape! { "PascalCase",
    Limits {
        daily_cap: i64,
        endpoint_reentry_cap: i64,
        endpoint_reentry_interval: String,
        messages_per_second: i64,
        timeframe_cap: Value,
        total_cap: i64,
    }
}

shape! { "PascalCase",
    Schedule {
        end_time: Value,
        start_time: Value,
        timezone: String,
    }
}

shape! { "PascalCase",
    StartCondition {
        description: String,
        event_start_condition: EventStartCondition,
        segment_start_condition: SegmentCondition,
    }
}

shape! { "PascalCase",
    EventStartCondition {
        event_filter: EventFilter,
        segment_id: String,
    }
}

shape! { "PascalCase",
    EventFilter {
        dimensions: EventDimensions,
        filter_type: String,
    }
}

shape! { "PascalCase",
    EventDimensions {
        attributes: Map<String, Value>,
        event_type: SetDimension,
        metrics: Map<String, Value>,
    }
}

shape! { "PascalCase",
    SetDimension {
        dimension_type: String,
        values: Vec<String>,
    }
}

shape! { "PascalCase",
    AttributeDimension {
        attribute_type: String,
        values: Vec<String>,
    }
}

shape! { "PascalCase",
    MetricDimension {
        comparison_operator: String,
        value: f64,
    }
}

shape! { "PascalCase",
    SegmentCondition {
        segment_id: String,
    }
}

shape! { "PascalCase",
    /// One activity: the member that is there says what it does.
    Activity {
        #[serde(rename = "CUSTOM")]
        custom: Custom,
        conditional_split: ConditionalSplit,
        contact_center: ContactCenter,
        description: String,
        #[serde(rename = "EMAIL")]
        email: Send,
        holdout: Holdout,
        multi_condition: MultiCondition,
        #[serde(rename = "PUSH")]
        push: Send,
        random_split: RandomSplit,
        #[serde(rename = "SMS")]
        sms: Send,
        wait: Wait,
    }
}

shape! { "PascalCase",
    /// `EMAIL`, `PUSH` and `SMS`.
    Send {
        message_config: MessageConfig,
        next_activity: String,
        template_name: String,
        template_version: String,
    }
}

shape! { "PascalCase",
    MessageConfig {
        from_address: String,
        time_to_live: String,
        message_type: String,
        origination_number: String,
        sender_id: String,
        entity_id: String,
        template_id: String,
    }
}

shape! { "PascalCase",
    Custom {
        delivery_uri: String,
        endpoint_types: Value,
        message_config: CustomMessage,
        next_activity: String,
        template_name: String,
        template_version: String,
    }
}

shape! { "PascalCase",
    CustomMessage {
        data: String,
    }
}

shape! { "PascalCase",
    ConditionalSplit {
        condition: Condition,
        evaluation_wait_time: WaitTime,
        false_activity: String,
        true_activity: String,
    }
}

shape! { "PascalCase",
    Condition {
        conditions: Vec<SimpleCondition>,
        operator: String,
    }
}

shape! { "PascalCase",
    SimpleCondition {
        event_condition: EventCondition,
        segment_condition: SegmentCondition,
        segment_dimensions: SegmentDimensions,
    }
}

shape! { "PascalCase",
    EventCondition {
        dimensions: EventDimensions,
        message_activity: String,
    }
}

shape! { "PascalCase",
    SegmentDimensions {
        attributes: Map<String, Value>,
        behavior: Value,
        demographic: Demographic,
        location: Location,
        metrics: Map<String, Value>,
        user_attributes: Map<String, Value>,
    }
}

shape! { "PascalCase",
    Demographic {
        app_version: SetDimension,
        channel: SetDimension,
        device_type: SetDimension,
        make: SetDimension,
        model: SetDimension,
        platform: SetDimension,
    }
}

shape! { "PascalCase",
    Location {
        country: SetDimension,
        #[serde(rename = "GPSPoint")]
        gps_point: Value,
    }
}

shape! { "PascalCase",
    ContactCenter {
        next_activity: String,
    }
}

shape! { "PascalCase",
    Holdout {
        next_activity: String,
        percentage: f64,
    }
}

shape! { "PascalCase",
    MultiCondition {
        branches: Vec<MultiBranch>,
        default_activity: String,
        evaluation_wait_time: WaitTime,
    }
}

shape! { "PascalCase",
    MultiBranch {
        condition: SimpleCondition,
        next_activity: String,
    }
}

shape! { "PascalCase",
    RandomSplit {
        branches: Vec<RandomBranch>,
    }
}

shape! { "PascalCase",
    RandomBranch {
        next_activity: String,
        percentage: f64,
    }
}

shape! { "PascalCase",
    Wait {
        next_activity: String,
        wait_time: WaitTime,
    }
}

shape! { "PascalCase",
    WaitTime {
        wait_for: String,
        wait_until: String,
    }
}

shape! { "PascalCase",
    /// `EmailTemplateResponse`, `SMSTemplateResponse` and `PushNotificationTemplateResponse`.
    Template {
        #[serde(rename = "ADM")]
        adm: Value,
        #[serde(rename = "APNS")]
        apns: Value,
        arn: Value,
        baidu: Value,
        body: String,
        creation_date: Value,
        default: PushTemplate,
        default_substitutions: String,
        #[serde(rename = "GCM")]
        gcm: Value,
        headers: Value,
        html_part: String,
        last_modified_date: Value,
        recommender_id: String,
        subject: String,
        #[serde(rename = "tags")]
        tags: Value,
        template_description: String,
        template_name: String,
        template_type: String,
        text_part: String,
        version: Value,
    }
}

shape! { "PascalCase",
    PushTemplate {
        action: Value,
        body: String,
        sound: Value,
        title: String,
        url: Value,
    }
}

shape! { "PascalCase",
    /// `SegmentResponse`.
    Segment {
        application_id: Value,
        arn: Value,
        creation_date: Value,
        dimensions: SegmentDimensions,
        id: String,
        import_definition: Value,
        last_modified_date: Value,
        name: String,
        segment_groups: Value,
        segment_type: String,
        #[serde(rename = "tags")]
        tags: Value,
        version: Value,
    }
}
