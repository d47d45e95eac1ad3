//! Writes the recorded answers as the fuzzer's first inputs: `write_seeds FOLDER`.

fn main() -> std::io::Result<()> {
    let folder = std::path::PathBuf::from(std::env::args().nth(1).expect("usage: write_seeds FOLDER"));
    std::fs::create_dir_all(&folder)?;
    for (i, parser) in poclab::hostile::parsers().into_iter().enumerate() {
        for (n, seed) in parser.seeds.iter().enumerate() {
            let mut bytes = vec![u8::try_from(i).expect("fewer than 256 readers")];
            bytes.extend(seed);
            std::fs::write(folder.join(format!("{}-{n}", parser.name.replace(' ', "-"))), bytes)?;
        }
    }
    Ok(())
}
