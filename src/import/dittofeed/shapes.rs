//! The JSON of Dittofeed's API: journeys, segments, message templates and user properties, each as its resource.

use serde_json::Value;

shape! { "camelCase",
    /// `JourneyResource`.
    Journey {
        can_run_multiple: bool,
        created_at: Value,
        definition: Definition,
        draft: Value,
        id: String,
        name: String,
        resource_type: Value,
        status: String,
        updated_at: Value,
        workspace_id: Value,
    }
}

shape! { "camelCase",
    /// `JourneyDefinition`.
    Definition {
        entry_node: Entry,
        exit_node: Exit,
        nodes: Vec<Value>,
    }
}

shape! { "camelCase",
    /// `SegmentEntryNode` and `EventEntryNode`.
    Entry {
        child: String,
        event: String,
        id: String,
        key: String,
        re_enter: bool,
        segment: String,
        r#type: String,
    }
}

shape! { "camelCase",
    Exit {
        id: String,
        r#type: String,
    }
}

shape! { "camelCase",
    /// Any node of the body; `type` says which fields it has.
    Node {
        child: String,
        children: Vec<Cohort>,
        id: String,
        name: String,
        retry_count: Value,
        segment_children: Vec<SegmentChild>,
        skip_on_failure: bool,
        subscription_group_id: String,
        sync_properties: bool,
        timeout_child: String,
        timeout_seconds: f64,
        r#type: String,
        variant: Variant,
    }
}

shape! { "camelCase",
    Cohort {
        id: String,
        name: String,
        percent: f64,
    }
}

shape! { "camelCase",
    SegmentChild {
        id: String,
        segment_id: String,
    }
}

shape! { "camelCase",
    /// The variants of delays, messages and splits.
    Variant {
        allowed_days_of_week: Vec<u8>,
        default_timezone: String,
        false_child: String,
        hour: i64,
        minute: i64,
        offset_direction: String,
        offset_seconds: f64,
        provider_override: Value,
        seconds: f64,
        segment: String,
        sender_override: Value,
        template_id: String,
        true_child: String,
        r#type: String,
        user_property: String,
    }
}

shape! { "camelCase",
    /// `SegmentResource`.
    Segment {
        created_at: Value,
        definition: SegmentDefinition,
        definition_updated_at: Value,
        id: String,
        last_recomputed: Value,
        name: String,
        resource_type: Value,
        status: Value,
        subscription_group_id: Value,
        updated_at: Value,
        workspace_id: Value,
    }
}

shape! { "camelCase",
    SegmentDefinition {
        entry_node: SegmentNode,
        nodes: Vec<SegmentNode>,
    }
}

shape! { "camelCase",
    /// Any node of a segment; `type` says which fields it has.
    SegmentNode {
        absolute_timestamp: String,
        children: Vec<String>,
        event: String,
        has_properties: Value,
        id: String,
        item: String,
        key: String,
        operator: Operator,
        path: String,
        percent: f64,
        properties: Vec<Property>,
        subscription_group_id: String,
        subscription_group_type: String,
        template_id: String,
        time_operator: String,
        times: f64,
        times_operator: String,
        r#type: String,
        version: Value,
        where_properties: Value,
        within_seconds: f64,
    }
}

shape! { "camelCase",
    Property {
        operator: Operator,
        path: String,
    }
}

shape! { "camelCase",
    Operator {
        absolute_timestamp: String,
        comparator: String,
        direction: String,
        r#type: String,
        value: Value,
        window_seconds: f64,
    }
}

shape! { "camelCase",
    /// `MessageTemplateResource`.
    Template {
        created_at: Value,
        definition: Contents,
        draft: Value,
        id: String,
        name: String,
        resource_type: Value,
        r#type: String,
        updated_at: Value,
        workspace_id: Value,
    }
}

shape! { "camelCase",
    /// What a template of any channel holds.
    Contents {
        android: Value,
        attachment_user_properties: Value,
        bcc: String,
        body: Value,
        cc: String,
        email_contents_type: String,
        from: String,
        headers: Value,
        identifier_key: String,
        image_url: String,
        name: String,
        reply_to: String,
        subject: String,
        title: String,
        r#type: String,
    }
}

shape! { "camelCase",
    /// `UserPropertyResource`.
    UserProperty {
        created_at: Value,
        definition: UserPropertyDefinition,
        definition_updated_at: Value,
        example_value: Value,
        id: String,
        last_recomputed: Value,
        name: String,
        resource_type: Value,
        updated_at: Value,
        workspace_id: Value,
    }
}

shape! { "camelCase",
    UserPropertyDefinition {
        path: String,
        r#type: String,
    }
}
