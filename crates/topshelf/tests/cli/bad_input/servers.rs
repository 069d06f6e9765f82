//! Databases and buckets that refuse.

use super::{Case, Section};
use crate::{
    s3,
    scene::{DAY, Scene},
};
use std::fs;
use tokio::{net::TcpSocket, runtime};

pub(crate) const STORE: Section = Section {
    title: "Databases that refuse",
    says: "No message holds a password.",
    cases: &[
        Case {
            what: "the URL is of another database",
            exit: 2,
            prepare: |scene| {
                scene.add_args(&["--store", "mysql://topshelf:hunter2@127.0.0.1/topshelf"]);
            },
        },
        Case {
            what: "the URL is no URL",
            exit: 2,
            prepare: |scene| scene.add_args(&["--store", "postgres://[::1/topshelf"]),
        },
        Case {
            what: "SQLite: the file is no database",
            exit: 1,
            prepare: |scene| {
                scene.write(
                    "not.db",
                    "this file is text, and longer than the header of a database file would be".repeat(20),
                );
                scene.add_args(&["--store", "sqlite:not.db"]);
            },
        },
        Case {
            what: "SQLite: a file that is no database is to be served",
            exit: 1,
            prepare: |scene| {
                scene.write("not.db", "this file is text".repeat(100));
                scene.args(&["serve", "--listen", "127.0.0.1:0", "--store", "sqlite:not.db"]);
            },
        },
        Case {
            what: "SQLite: the file is a folder",
            exit: 1,
            prepare: |scene| scene.add_args(&["--store", "sqlite:logs"]),
        },
        Case {
            what: "SQLite: the folder cannot be made",
            exit: 1,
            prepare: |scene| {
                scene.add_args(&["--store", "sqlite:logs/ads_views.csv/topshelf.db"]);
            },
        },
        Case {
            what: "SQLite: the ledger is asked for where none is",
            exit: 1,
            prepare: |scene| {
                scene.args(&["runs", "--store", "sqlite:new.db"]);
            },
        },
        Case {
            what: "SQLite: rankings are asked for where none are",
            exit: 1,
            prepare: |scene| {
                scene.end_well(&["migrate", "--store", "sqlite:new.db"]);
                scene.args(&["show", "acme", "--store", "sqlite:new.db"]);
            },
        },
        Case {
            what: "PostgreSQL: nobody listens at the port",
            exit: 1,
            prepare: |scene| {
                let port = refused_port(scene);
                scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "0");
                scene.add_args(&[
                    "--store",
                    &format!("postgres://topshelf:hunter2@127.0.0.1:{port}/topshelf"),
                ]);
            },
        },
        Case {
            what: "PostgreSQL: the wrong password",
            exit: 1,
            prepare: |scene| {
                let url = postgres(scene, "postgres", "wrong");
                scene.add_args(&["--store", &url]);
            },
        },
        Case {
            what: "PostgreSQL: no such database",
            exit: 1,
            prepare: |scene| {
                let url = postgres(scene, "nobody_made_this", "");
                scene.add_args(&["--store", &url]);
            },
        },
        Case {
            what: "PostgreSQL: TLS is asked for, and the server has none",
            exit: 1,
            prepare: |scene| {
                let url = postgres(scene, "postgres?sslmode=require", "");
                scene.add_args(&["--store", &url]);
            },
        },
    ],
};

pub(crate) const BUCKET: Section = Section {
    title: "Buckets that refuse",
    says: "The command is `topshelf count --day 2024-11-20 --input s3://logs/night`, without any of the AWS settings that a row does not name.",
    cases: &[
        Case {
            what: "the bucket's name is none",
            exit: 2,
            prepare: |scene| {
                scene.args(&["count", "--day", DAY, "--input", "s3://my bucket/night"]);
            },
        },
        Case {
            what: "`AWS_PROFILE`, which is not read",
            exit: 2,
            prepare: |scene| {
                bucket(scene);
                scene.environment("AWS_PROFILE", "night");
            },
        },
        Case {
            what: "an access key without its secret",
            exit: 2,
            prepare: |scene| {
                bucket(scene);
                scene.environment("AWS_ACCESS_KEY_ID", "AKID");
            },
        },
        Case { what: "no credentials", exit: 1, prepare: bucket },
        Case {
            what: "nobody listens at the endpoint",
            exit: 1,
            prepare: |scene| {
                bucket(scene);
                let port = refused_port(scene);
                scene.environment("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{port}"));
                scene.environment("AWS_ACCESS_KEY_ID", "AKID");
                scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
            },
        },
        Case {
            what: "the wrong secret",
            exit: 1,
            prepare: |scene| {
                bucket(scene);
                serve_buckets(scene);
                scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
            },
        },
        Case {
            what: "an access key that the server does not know",
            exit: 1,
            prepare: |scene| {
                bucket(scene);
                serve_buckets(scene);
                scene.environment("AWS_ACCESS_KEY_ID", "AKID");
            },
        },
        Case {
            what: "nothing below the prefix",
            exit: 1,
            prepare: |scene| {
                bucket(scene);
                serve_buckets(scene);
            },
        },
        Case {
            what: "a bad file",
            exit: 3,
            prepare: |scene| {
                bucket(scene);
                scene.write("buckets/logs/night/advertiser_ids.csv", "advertiser_id\nacme\n");
                scene.write("buckets/logs/night/ads_views.csv", "");
                scene.write("buckets/logs/night/product_views.csv", "");
                serve_buckets(scene);
            },
        },
        Case {
            what: "the lake's bucket, without credentials: `--input logs --lake s3://lake/night`",
            exit: 1,
            prepare: |scene| {
                scene.args(&["count", "--day", DAY, "--input", "logs", "--lake", "s3://lake/night"]);
                scene.environment("AWS_METADATA_ENDPOINT", NO_METADATA);
            },
        },
        Case {
            what: "the lake's bucket, with the wrong secret",
            exit: 1,
            prepare: |scene| {
                scene.args(&["count", "--day", DAY, "--input", "logs", "--lake", "s3://lake/night"]);
                serve_buckets(scene);
                scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
            },
        },
    ],
};

/// Where no machine's role is told, not on AWS either.
const NO_METADATA: &str = "http://169.254.0.1:9";

fn bucket(scene: &mut Scene) {
    scene.args(&["count", "--day", DAY, "--input", "s3://logs/night"]);
}

/// A server of the buckets `logs` and `lake`, and the environment that leads to it.
fn serve_buckets(scene: &mut Scene) {
    for bucket in ["logs", "lake"] {
        fs::create_dir_all(scene.path("buckets").join(bucket)).unwrap();
    }
    let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let environment = runtime.block_on(s3::start(&scene.path("buckets")));
    environment.iter().for_each(|(name, value)| scene.environment(name, value));
    scene.keep(runtime);
}

/// A port at which nobody listens while the scene lasts: it is bound, and that is all.
fn refused_port(scene: &mut Scene) -> u16 {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let port = socket.local_addr().unwrap().port();
    scene.replace(port.to_string(), "PORT");
    scene.keep(socket);
    port
}

/// The URL of the tests' PostgreSQL, changed.
fn postgres(scene: &mut Scene, path: &str, after_password: &str) -> String {
    let url = std::env::var("TOPSHELF_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("TOPSHELF_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a PostgreSQL")
    });
    let (server, _) = url.rsplit_once('/').expect("the URL ends with the database");
    let (login, address) = server.rsplit_once('@').expect("the URL has user and password");
    scene.replace(address, "127.0.0.1:PORT");
    format!("{login}{after_password}@{address}/{path}")
}
