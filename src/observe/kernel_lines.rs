//! What single lines of the kernel's and Xen's logs say of a function. A line counts by its exact beginning:
//! what follows may be a device's own words, such as the product string of a USB device on another
//! controller.

use crate::names::Sbdf;

/// Whether pciback let the function go though a domain still used it (`drivers/xen/xen-pciback/pci_stub.c`),
/// with or without the prefixes that kernels put before it.
#[must_use]
pub fn is_torn_from_a_domain(line: &str, sbdf: Sbdf) -> bool {
    let line = line.strip_prefix(&format!("pciback {sbdf}: ")).unwrap_or(line);
    let line = ["xen_pciback: ", "xen-pciback: "]
        .iter()
        .find_map(|prefix| line.strip_prefix(prefix))
        .unwrap_or(line);
    line.starts_with(&format!("****** removing device {sbdf} while still in-use"))
}

/// Whether its driver failed: lines of the driver core (`drivers/base/dd.c`: "D: probe of B failed with
/// error", newer "D B: probe with driver D failed with error"), of Xen's interrupt setup
/// (`arch/x86/pci/xen.c`), of the audio driver that gives up in the background, and of drivers that say
/// "probe failed".
#[must_use]
pub fn is_probe_error(line: &str, sbdf: Sbdf) -> bool {
    const SIGNS: [&str; 3] = ["xen map irq failed", "no codecs initialized", "no codecs found"];
    // A driver's name, or its bus's.
    let is_word = |text: &str| !text.is_empty() && !text.contains(": ");
    if let Some((driver, after)) = line.split_once(&format!(": probe of {sbdf} ")) {
        return is_word(driver) && after.starts_with("failed");
    }
    let Some((driver, after)) = line.split_once(&format!(" {sbdf}: ")) else { return false };
    is_word(driver)
        && (SIGNS.iter().any(|sign| after.starts_with(sign))
            || after.starts_with("probe with driver") && after.contains("failed")
            || after.starts_with("probe failed"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const BDF: &str = "0000:00:03.0";

    fn sbdf() -> Sbdf {
        Sbdf::from_sysfs(BDF).unwrap()
    }

    #[test]
    fn errors_of_another_function_do_not_count() {
        for line in [
            "e1000e 0000:00:03.0: xen map irq failed -19 for 32752 domain",
            "pci 0000:00:03.0: xen map irq failed -19 for 32752 domain",
            "nvme: probe of 0000:00:03.0 failed with error -5",
            "nvme 0000:00:03.0: probe with driver nvme failed with error -5",
            "snd_hda_intel 0000:00:03.0: no codecs initialized",
            "some card 0000:00:03.0: probe failed",
        ] {
            assert!(is_probe_error(line, sbdf()), "{line}");
        }
        for line in [
            "nvme 10000:00:03.0: xen map irq failed -19 for 32752 domain",
            "e1000e 0000:00:04.0: xen map irq failed -19 for 32752 domain",
            "iwlwifi 0000:00:03.0: Direct firmware load for x.ucode failed with error -2",
        ] {
            assert!(!is_probe_error(line, sbdf()), "{line}");
        }
    }

    #[test]
    fn words_that_a_device_chose_are_not_the_kernels() {
        for words in [
            "e1000e 0000:00:03.0: xen map irq failed -19",
            "x 0000:00:03.0: probe failed",
            "nvme: probe of 0000:00:03.0 failed with error -5",
            "pciback 0000:00:03.0: xen_pciback: ****** removing device 0000:00:03.0 while still in-use by domain 1! ******",
        ] {
            for before in ["usb 1-1: Product: ", "usb 1-1: Manufacturer: a", "input: "] {
                let line = format!("{before}{words}");
                assert!(!is_probe_error(&line, sbdf()) && !is_torn_from_a_domain(&line, sbdf()), "{line}");
            }
        }
    }

    #[test]
    fn a_function_that_was_torn_from_a_domain_is_told_by_each_kernel() {
        let words = "****** removing device 0000:00:03.0 while still in-use by domain 1! ******";
        for before in [
            "",
            "xen_pciback: ",
            "xen-pciback: ",
            "pciback 0000:00:03.0: xen_pciback: ",
            "pciback 0000:00:03.0: ",
        ] {
            assert!(is_torn_from_a_domain(&format!("{before}{words}"), sbdf()), "{before}");
        }
        assert!(!is_torn_from_a_domain(&words.replace("03.0", "04.0"), sbdf()));
    }
}
