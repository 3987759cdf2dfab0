//! The status as an HTML page: one file that loads nothing else and runs no script.

use std::fmt::{self, Display, Formatter, Write};

use super::{FailedRequests, Plugin, Status, Totals};
use crate::config::units::{Seconds, Size};

const STYLE: &str = include_str!("style.css");

/// Prints the page. If `refresh` is given, the page reloads itself after that many seconds.
pub fn page(status: &Status, refresh: Option<u32>) -> String {
    let mut page = String::with_capacity(16 << 10);
    // Writing to a String cannot fail.
    let _ = write(&mut page, status, refresh);
    page
}

fn write(page: &mut String, status: &Status, refresh: Option<u32>) -> fmt::Result {
    let count = status.plugins.len();
    page.write_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n")?;
    page.write_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n")?;
    page.write_str("<meta name=\"color-scheme\" content=\"light dark\">\n")?;
    if let Some(seconds) = refresh {
        writeln!(page, "<meta http-equiv=\"refresh\" content=\"{seconds}\">")?;
    }
    writeln!(page, "<title>Proxy-Wasm: {}</title>", Count(count, "plugin"))?;
    writeln!(page, "<style>\n{STYLE}</style>\n</head>\n<body>")?;
    header(page, status, refresh)?;
    page.write_str("<main>\n")?;
    if let Some(problem) = &status.lua.problem {
        writeln!(page, "<p class=\"problem\" role=\"alert\"><strong>Half an install.</strong> {}</p>", Text(problem))?;
    }
    tiles(page, status)?;
    if count > 0 {
        plugins(page, &status.plugins)?;
    } else {
        page.write_str("<p class=\"empty\">No plugin is loaded in this worker.</p>\n")?;
    }
    details(page, status)?;
    page.write_str("</main>\n</body>\n</html>\n")
}

fn header(page: &mut String, status: &Status, refresh: Option<u32>) -> fmt::Result {
    page.write_str("<header>\n<h1>Proxy-Wasm</h1>\n")?;
    writeln!(
        page,
        "<p>module {} · wasmtime {} · nginx {}</p>",
        Text(status.version),
        Text(status.wasmtime),
        Text(&status.nginx)
    )?;
    page.write_str("<nav>")?;
    match refresh {
        None => page.write_str("<a href=\"?refresh=5\">Refresh every 5 s</a>")?,
        Some(seconds) => write!(page, "<a href=\"?\">Stop refreshing every {seconds} s</a>")?,
    }
    page.write_str(" <a href=\"?format=json\">JSON</a></nav>\n</header>\n")
}

fn tiles(page: &mut String, status: &Status) -> fmt::Result {
    let sum = |of: fn(&Plugin) -> usize| status.plugins.iter().map(of).sum::<usize>();
    let failures: u64 =
        status.plugins.iter().map(|plugin| plugin.all_workers.map_or(plugin.failures, |all| all.failures)).sum();
    let running = sum(|plugin| plugin.running.into());
    page.write_str("<ul class=\"tiles\">\n")?;
    tile(page, "", Grouped(status.plugins.len() as u64), format_args!("plugins, {running} running"))?;
    tile(page, "", Grouped(sum(|plugin| plugin.http_contexts) as u64), format_args!("requests in plugins now"))?;
    tile(page, "", Grouped(status.calls as u64), format_args!("calls under way"))?;
    tile(page, "", Size(sum(|plugin| plugin.memory)), format_args!("memory of instances"))?;
    let class = if failures > 0 { " class=\"bad\"" } else { "" };
    tile(page, class, Grouped(failures), format_args!("failures, all workers"))?;
    page.write_str("</ul>\n")
}

fn tile(page: &mut String, class: &str, value: impl Display, about: fmt::Arguments<'_>) -> fmt::Result {
    writeln!(page, "<li{class}><b>{value}</b> {about}</li>")
}

fn plugins(page: &mut String, plugins: &[Plugin]) -> fmt::Result {
    page.write_str(
        "<div class=\"scroll\">\n<table>\n<thead>\n\
         <tr><th rowspan=\"2\" scope=\"col\">Plugin</th><th colspan=\"5\" scope=\"colgroup\">this worker</th>\
         <th colspan=\"6\" scope=\"colgroup\">all workers</th></tr>\n<tr>",
    )?;
    let this_worker = ["State", "Memory", "Contexts", "Starts", "Failures"];
    let all_workers = ["Requests", "Restarts", "Failures", "Lost requests", "Calls", "Time in guest"];
    for name in this_worker.iter().chain(&all_workers) {
        write!(page, "<th scope=\"col\">{name}</th>")?;
    }
    page.write_str("</tr>\n</thead>\n<tbody>\n")?;
    plugins.iter().try_for_each(|plugin| row(page, plugin))?;
    page.write_str("</tbody>\n</table>\n</div>\n")
}

fn row(page: &mut String, plugin: &Plugin) -> fmt::Result {
    writeln!(
        page,
        "<tr><th scope=\"row\">{}<small title=\"BLAKE3 {}\">ABI {} · {} · {}</small></th>",
        Text(&plugin.name),
        Text(&plugin.blake3),
        Text(plugin.abi_version),
        Size(plugin.size),
        if plugin.from_cache { "from the cache" } else { "compiled" },
    )?;
    page.write_str("<td>")?;
    match (plugin.running, plugin.retry_in) {
        (true, _) => page.write_str("<span class=\"state on\">running</span>")?,
        (false, Some(seconds)) => {
            write!(page, "<span class=\"state bad\">failed</span><small>again in {seconds:.0} s</small>")?;
        }
        (false, None) if plugin.failures > 0 => {
            page.write_str("<span class=\"state bad\">failed</span><small>again when needed</small>")?;
        }
        (false, None) => page.write_str("<span class=\"state\">not started</span>")?,
    }
    write!(
        page,
        "</td><td data-name=\"Memory\">{}<meter min=\"0\" max=\"{max}\" high=\"{}\" value=\"{}\">of {limit}</meter><small>of {limit}</small></td>",
        Size(plugin.memory),
        plugin.memory_limit / 10 * 9,
        plugin.memory,
        max = plugin.memory_limit,
        limit = Size(plugin.memory_limit),
    )?;
    let requests = Count(plugin.http_contexts, "request");
    write!(page, "<td data-name=\"Contexts\">{}<small>{requests} now", plugin.plugin_contexts)?;
    if plugin.instances > 1 {
        write!(page, ", {} instances", Grouped(plugin.instances as u64))?;
    }
    page.write_str("</small></td>")?;
    starts(page, plugin)?;
    number(page, "Failures", plugin.failures, true)?;
    match &plugin.all_workers {
        Some(totals) => row_of_all(page, totals)?,
        None => page.write_str("<td data-name=\"All workers\" colspan=\"6\">—</td>")?,
    }
    page.write_str("</tr>\n")
}

fn starts(page: &mut String, plugin: &Plugin) -> fmt::Result {
    write!(page, "<td data-name=\"Starts\">{}", Grouped(plugin.starts))?;
    match (plugin.image.bytes, &plugin.image.why_not) {
        (Some(bytes), _) => {
            let restores = Grouped(plugin.image.restores);
            write!(page, "<small>{restores} restored, image of {}", Size(bytes))?;
            if let Some(shared) = plugin.image.shared {
                write!(page, ", {} shared", Size(shared))?;
            }
            page.write_str("</small>")?;
        }
        (None, Some(why_not)) => write!(page, "<small>no image: {}</small>", Text(why_not))?,
        (None, None) => {}
    }
    page.write_str("</td>")
}

fn row_of_all(page: &mut String, totals: &Totals) -> fmt::Result {
    number(page, "All requests", totals.requests, false)?;
    number(page, "All restarts", totals.restarts, true)?;
    number(page, "All failures", totals.failures, true)?;
    lost_requests(page, totals.failed_requests)?;
    number(page, "All calls", totals.calls, false)?;
    write!(page, "<td data-name=\"All time in guest\">{}", Seconds(totals.guest_seconds))?;
    if let Some(time) = totals.per_callback() {
        write!(page, "<small>{} per callback</small>", Seconds(time.as_secs_f64()))?;
    }
    page.write_str("</td>")
}

fn lost_requests(page: &mut String, FailedRequests { caused, collateral }: FailedRequests) -> fmt::Result {
    let class = if caused + collateral > 0 { " class=\"bad\"" } else { "" };
    write!(page, "<td data-name=\"All lost requests\"{class}>{}", Grouped(caused + collateral))?;
    if caused + collateral > 0 {
        write!(page, "<small>{} caused, {} collateral</small>", Grouped(caused), Grouped(collateral))?;
    }
    page.write_str("</td>")
}

/// Prints a number, with its name for layouts without columns. A number that should be 0 stands out
/// if it is not.
fn number(page: &mut String, name: &str, number: u64, bad: bool) -> fmt::Result {
    let class = if bad && number > 0 { " class=\"bad\"" } else { "" };
    write!(page, "<td data-name=\"{name}\"{class}>{}</td>", Grouped(number))
}

fn details(page: &mut String, status: &Status) -> fmt::Result {
    page.write_str("<dl>\n")?;
    writeln!(page, "<dt>Worker</dt><dd>{}, process {}</dd>", status.worker, status.pid)?;
    match &status.cache {
        Some(path) => writeln!(page, "<dt>Cache</dt><dd><code>{}</code></dd>", Text(path))?,
        None => page.write_str("<dt>Cache</dt><dd>off</dd>\n")?,
    }
    if let Some(zones) = &status.zones {
        let data = zones.shared_data;
        let evictions = Grouped(data.evictions);
        writeln!(page, "<dt>Shared data</dt><dd>{}, {evictions} evicted</dd>", Count(data.items as usize, "item"))?;
        writeln!(page, "<dt>Shared queues</dt><dd>{}</dd>", zones.shared_queue.queues)?;
        writeln!(page, "<dt>Metrics</dt><dd>{}</dd>", Grouped(zones.metrics.metrics as u64))?;
    }
    if let (Some(file), Some(version)) = (&status.lua.file, &status.lua.version) {
        writeln!(page, "<dt>Lua file</dt><dd><code>{}</code>, version {}</dd>", Text(file), Text(version))?;
    }
    page.write_str("</dl>\n<p class=\"note\">Each answer is that of the one worker that gives it; what says \"all\" counts all workers.</p>\n")
}

/// A text in which the characters special to HTML are escaped.
struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A number of things, with their name.
struct Count(usize, &'static str);

impl Display for Count {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}{}", Grouped(self.0 as u64), self.1, if self.0 == 1 { "" } else { "s" })
    }
}

/// A number with its thousands separated.
struct Grouped(u64);

impl Display for Grouped {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_char(',')?;
            }
            f.write_char(digit)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::{Image, Lua};

    fn status(plugins: Vec<Plugin>) -> Status {
        Status {
            version: "0.1.0",
            wasmtime: "48.0.0",
            nginx: "1.22.1".into(),
            pid: 7,
            worker: 0,
            calls: 0,
            call_connections: 0,
            host_memory: 0,
            request_instances: 0,
            waiting_requests: 0,
            plugins,
            cache: None,
            zones: None,
            lua: Lua::default(),
        }
    }

    fn plugin(name: &str) -> Plugin {
        Plugin {
            name: name.into(),
            abi_version: "0.2.1",
            size: 1_153_000,
            blake3: "00".into(),
            from_cache: true,
            running: true,
            retry_in: None,
            instances: 1,
            spare_instances: 0,
            starts: 1,
            failures: 0,
            image: Image::default(),
            memory: 1 << 20,
            memory_limit: 256 << 20,
            host_memory: 0,
            plugin_contexts: 1,
            http_contexts: 0,
            all_workers: Some(Totals { requests: 1_234_567, callbacks: 2, guest_seconds: 0.5, ..Totals::default() }),
        }
    }

    #[test]
    fn what_operators_wrote_is_text_and_nothing_else() {
        let mut status = status(vec![plugin("<script>alert('&')</script>\"")]);
        status.cache = Some("/<cache>".into());
        status.lua.problem = Some("<b>".into());
        let page = page(&status, None);
        assert!(page.contains("&lt;script&gt;alert(&#39;&amp;&#39;)&lt;/script&gt;&quot;"));
        assert!(page.contains("/&lt;cache&gt;") && page.contains("&lt;b&gt;"));
        assert!(!page.contains("<script") && !page.contains("<cache"));
    }

    #[test]
    fn numbers_are_for_people() {
        let page = page(&status(vec![plugin("waf")]), None);
        assert!(page.contains("<td data-name=\"All requests\">1,234,567</td>"));
        assert!(page.contains(">500 ms<small>250 ms per callback</small></td>"));
        assert!(page.contains("ABI 0.2.1 · 1.1 MB · from the cache"));
    }

    #[test]
    fn what_failed_stands_out() {
        let mut failed = plugin("waf");
        (failed.running, failed.retry_in, failed.failures) = (false, Some(3.6), 3);
        failed.all_workers =
            Some(Totals { failed_requests: FailedRequests { caused: 2, collateral: 1_000 }, ..Totals::default() });
        let page = page(&status(vec![failed]), None);
        assert!(page.contains("<span class=\"state bad\">failed</span><small>again in 4 s</small>"));
        assert!(page.contains("<td data-name=\"Failures\" class=\"bad\">3</td>"));
        assert!(page.contains(">1,002<small>2 caused, 1,000 collateral</small></td>"));
    }

    #[test]
    fn an_image_is_told_or_why_there_is_none() {
        let [mut kept, mut refused] = [plugin("kept"), plugin("refused")];
        kept.image = Image { bytes: Some(32 << 20), shared: None, why_not: None, restores: 3 };
        let mut shared = plugin("shared");
        shared.image = Image { shared: Some(31 << 20), ..kept.image.clone() };
        refused.image.why_not = Some("<it> drew".into());
        let page = page(&status(vec![kept, refused, shared]), None);
        assert!(page.contains("<td data-name=\"Starts\">1<small>3 restored, image of 32 MB</small></td>"));
        assert!(page.contains("<small>3 restored, image of 32 MB, 31 MB shared</small>"));
        assert!(page.contains("<small>no image: &lt;it&gt; drew</small>"));
    }

    #[test]
    fn it_loads_itself_again_only_when_told() {
        assert!(!page(&status(vec![]), None).contains("http-equiv"));
        assert!(page(&status(vec![]), Some(5)).contains("<meta http-equiv=\"refresh\" content=\"5\">"));
    }
}
