//! Asks a worker one thing from Rust, with the standard library alone.
//!
//!     rustc -O bare_redis.rs && ./bare_redis 127.0.0.1:6379 text-classification '{"inputs": "a delight"}'
//!
//! Prints the stored result as JSON. Exit status: 0, 1 if the request failed, 2 if no answer came.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use std::{env, fs, process};

/// A connection; enough of Redis's protocol (RESP2) for this program.
struct Redis(BufReader<TcpStream>);

impl Redis {
    fn connect(address: &str, timeout: Duration) -> io::Result<Redis> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(timeout))?;
        Ok(Redis(BufReader::new(stream)))
    }

    fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut command = format!("*{}\r\n", words.len());
        for word in words {
            command += &format!("${}\r\n{}\r\n", word.len(), word);
        }
        self.0.get_mut().write_all(command.as_bytes())
    }

    /// The next reply, the elements of a list one after the other.
    fn reply(&mut self) -> io::Result<Vec<String>> {
        let mut line = String::new();
        if self.0.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let rest = line[1..].trim_end();
        match line.as_bytes()[0] {
            b'-' => Err(io::Error::other(rest)),
            b'$' if !rest.starts_with('-') => {
                let mut value = vec![0; rest.parse::<usize>().map_err(io::Error::other)? + 2];
                self.0.read_exact(&mut value)?;
                value.truncate(value.len() - 2);
                Ok(vec![String::from_utf8(value).map_err(io::Error::other)?])
            }
            b'*' => {
                let count: usize = rest.parse().map_err(io::Error::other)?;
                let mut values = Vec::new();
                for _ in 0..count {
                    values.extend(self.reply()?);
                }
                Ok(values)
            }
            _ => Ok(vec![rest.to_string()]),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0u32, |sum, i| sum << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
        for i in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * i) & 63) as usize];
            text.push(if i > chunk.len() { '=' } else { digit as char });
        }
    }
    text
}

fn uuid() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/uuid")?.trim().to_string())
}

fn message(id: &str, task: &str, kwargs: &str) -> io::Result<String> {
    let body = base64(format!("[[], {kwargs}, null]").as_bytes());
    let tag = uuid()?;
    Ok(format!(
        r#"{{"body": "{body}", "content-type": "application/json", "content-encoding": "utf-8",
            "headers": {{"task": "{task}", "id": "{id}"}},
            "properties": {{"delivery_tag": "{tag}", "body_encoding": "base64",
                "delivery_info": {{"exchange": "", "routing_key": "{task}"}}}}}}"#
    ))
}

/// The stored result, as JSON; an error if none came in time.
fn ask(address: &str, task: &str, kwargs: &str, timeout: Duration) -> io::Result<String> {
    let end = Instant::now() + timeout;
    let id = uuid()?;
    let mut results = Redis::connect(address, timeout)?;
    let mut broker = Redis::connect(address, timeout)?;
    // Subscribe before sending, so that no answer is missed.
    results.send(&["SUBSCRIBE", &format!("celery-task-meta-{id}")])?;
    results.reply()?;
    broker.send(&["LPUSH", task, &message(&id, task, kwargs)?])?;
    broker.reply()?;
    while Instant::now() < end {
        let pushed = results.reply()?;
        // Celery writes the status first. STARTED and RETRY are not final.
        let is_final = ["SUCCESS", "FAILURE", "REVOKED"];
        if is_final.iter().any(|state| pushed[2].starts_with(&format!("{{\"status\": \"{state}\""))) {
            return Ok(pushed[2].clone());
        }
    }
    Err(io::ErrorKind::TimedOut.into())
}

fn main() {
    let words: Vec<String> = env::args().collect();
    let seconds = env::var("TIMEOUT_S").ok().and_then(|text| text.parse().ok()).unwrap_or(30);
    match ask(&words[1], &words[2], &words[3], Duration::from_secs(seconds)) {
        Ok(record) if record.starts_with("{\"status\": \"SUCCESS\"") => println!("{record}"),
        Ok(record) => {
            eprintln!("{record}");
            process::exit(1)
        }
        Err(error) => {
            eprintln!("no answer: {error}");
            process::exit(2)
        }
    }
}
