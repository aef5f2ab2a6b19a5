//! The JSON of Parcelvoy's API: journeys, their steps (`GET …/journeys/:id/steps`, a map by external id), campaigns with
//! their templates.

use serde_json::Value;

shape! { "snake_case",
    /// What `GET …/journeys/:id` answers.
    Journey {
        created_at: Value,
        deleted_at: Value,
        description: String,
        id: i64,
        name: String,
        project_id: Value,
        published: bool,
        stats: Value,
        stats_at: Value,
        tags: Value,
        updated_at: Value,
    }
}

shape! { "snake_case",
    /// One step.
    Step {
        children: Vec<Child>,
        data: Data,
        data_key: String,
        id: i64,
        name: String,
        next_scheduled_at: Value,
        stats: Value,
        stats_at: Value,
        r#type: String,
        x: Value,
        y: Value,
    }
}

shape! { "snake_case",
    Child {
        data: ChildData,
        external_id: String,
        path: String,
    }
}

shape! { "snake_case",
    ChildData {
        ratio: f64,
    }
}

shape! { "snake_case",
    /// What steps of any type hold.
    Data {
        campaign_id: i64,
        concurrent: bool,
        date: String,
        days: f64,
        delay: String,
        entrance_uuid: String,
        event_name: String,
        format: String,
        hours: f64,
        list_id: Value,
        minutes: f64,
        multiple: bool,
        rate_interval: String,
        rate_limit: Value,
        rule: Rule,
        schedule: String,
        target_id: i64,
        template: String,
        time: String,
        trigger: String,
    }
}

shape! { "snake_case",
    /// A rule, or a group of them.
    Rule {
        children: Vec<Rule>,
        group: String,
        id: Value,
        operator: String,
        parent_uuid: Value,
        path: String,
        root_uuid: Value,
        r#type: String,
        uuid: Value,
        value: Value,
    }
}

shape! { "snake_case",
    /// What `GET …/campaigns/:id` answers.
    Campaign {
        channel: String,
        created_at: Value,
        deleted_at: Value,
        delivery: Value,
        exclusion_list_ids: Value,
        exclusion_lists: Value,
        id: i64,
        list_ids: Value,
        lists: Value,
        name: String,
        progress: Value,
        project_id: Value,
        provider: Value,
        provider_id: Value,
        screenshot_url: Value,
        send_at: Value,
        send_in_user_timezone: bool,
        state: Value,
        subscription: Value,
        subscription_id: Value,
        tags: Value,
        templates: Vec<Template>,
        r#type: Value,
        updated_at: Value,
    }
}

shape! { "snake_case",
    Template {
        campaign_id: Value,
        created_at: Value,
        data: TemplateData,
        id: Value,
        locale: String,
        project_id: Value,
        screenshot_url: Value,
        r#type: Value,
        updated_at: Value,
    }
}

shape! { "snake_case",
    /// What templates of any channel hold.
    TemplateData {
        bcc: String,
        body: Value,
        cc: String,
        custom: Value,
        editor: Value,
        endpoint: String,
        from: Value,
        headers: Value,
        html: String,
        method: String,
        mjml: Value,
        preheader: String,
        reply_to: String,
        subject: String,
        text: String,
        title: String,
        topic: String,
        url: String,
    }
}
