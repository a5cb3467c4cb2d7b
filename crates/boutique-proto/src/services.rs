//! The services of the shop in one table: names, ports, address settings and methods. Everything that lists
//! services reads it: clients, tests, scripts (`boutique services`) and the benchmark.

use std::time::Duration;

/// A service as others know it.
#[derive(Debug, Clone, Copy)]
pub struct ServiceSpec {
    /// The workload's name, as in `service.name` and in Kubernetes.
    pub name: &'static str,
    /// The port that it listens on where `PORT` is not set; upstream's.
    pub port: u16,
    /// The setting that holds its address; upstream's.
    pub addr_key: &'static str,
    /// The threads that its process serves connections with, unless `TOKIO_WORKER_THREADS` says otherwise.
    pub threads: Threads,
    /// Its unary gRPC methods; none for a service that speaks HTTP.
    pub methods: &'static [MethodSpec],
}

/// The number of threads that serve a process's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Threads {
    /// One: a small RPC costs half as much on one thread as on two.
    One,
    /// One for each core: a page is many calls, and worth all of them.
    PerCore,
}

/// A unary method as its callers treat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MethodSpec {
    /// `/package.Service/Method`.
    pub path: &'static str,
    /// The setting that changes its deadline.
    pub timeout_key: &'static str,
    /// Its deadline where that setting is absent. The deadlines of the whole shop are chosen so that their sum
    /// along every path stays within the budget of the page that it serves.
    pub timeout: Duration,
    /// True if a call may be repeated although the first one may have been processed.
    pub idempotent: bool,
    /// Its criticality for callers that say nothing of theirs.
    pub criticality: Criticality,
}

/// The order in which an overloaded server refuses requests: the least first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Criticality {
    /// Left out without much harm.
    Sheddable,
    /// A page, or what one needs.
    #[default]
    Critical,
    /// An order.
    CriticalPlus,
}

impl Criticality {
    /// The metadata key that carries it from service to service.
    pub const KEY: &'static str = "criticality";

    const ALL: [(Self, &'static str); 3] = [
        (Self::Sheddable, "sheddable"),
        (Self::Critical, "critical"),
        (Self::CriticalPlus, "critical_plus"),
    ];

    /// Returns its value in metadata.
    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(known, _)| *known == self).map_or("", |(_, text)| text)
    }

    /// Returns the criticality that a value in metadata says, if it says one.
    pub fn parse(text: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|(_, known)| known.as_bytes() == text).map(|(known, _)| *known)
    }

    /// Returns that of a call to a method with `self` during a request with `request`: what is called for something that
    /// can be left out can be left out, too.
    #[must_use]
    pub fn within(self, request: Self) -> Self {
        if self.min(request) == Self::Sheddable { Self::Sheddable } else { self.max(request) }
    }
}

impl ServiceSpec {
    /// A service that is not in the table, such as one that a test plays: any free port, no methods.
    pub const fn unlisted(name: &'static str, addr_key: &'static str) -> Self {
        Self { name, port: 0, addr_key, threads: Threads::One, methods: &[] }
    }

    /// The service whose methods belong to this gRPC service (`package.Service`), if it is in the table.
    pub fn of_grpc(grpc_name: &str) -> Option<&'static Self> {
        SERVICES.iter().find(|spec| spec.methods.iter().any(|m| m.grpc_service() == grpc_name))
    }
}

impl MethodSpec {
    /// Its name, as in `package.Service/Method`.
    pub fn name(&self) -> &'static str {
        self.path.trim_start_matches('/')
    }

    /// The `package.Service` that the method belongs to.
    pub fn grpc_service(&self) -> &'static str {
        self.name().split('/').next().unwrap_or_default()
    }
}

/// A method that may be repeated.
const fn read(path: &'static str, timeout_key: &'static str, millis: u64) -> MethodSpec {
    let (timeout, criticality) = (Duration::from_millis(millis), Criticality::Critical);
    MethodSpec { path, timeout_key, timeout, idempotent: true, criticality }
}

/// A method that may have an effect each time it is called.
const fn effect(path: &'static str, timeout_key: &'static str, millis: u64) -> MethodSpec {
    MethodSpec { idempotent: false, ..read(path, timeout_key, millis) }
}

/// The same method with another criticality.
const fn with(criticality: Criticality, method: MethodSpec) -> MethodSpec {
    MethodSpec { criticality, ..method }
}

/// Chooses text ads for a context.
pub const AD: ServiceSpec = ServiceSpec {
    name: "adservice",
    port: 9555,
    addr_key: "AD_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[with(
        Criticality::Sheddable,
        read("/hipstershop.AdService/GetAds", "AD_TIMEOUT", 100),
    )],
};

/// Keeps carts.
pub const CART: ServiceSpec = ServiceSpec {
    name: "cartservice",
    port: 7070,
    addr_key: "CART_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        effect("/hipstershop.CartService/AddItem", "CART_ADD_TIMEOUT", 800),
        read("/hipstershop.CartService/GetCart", "CART_TIMEOUT", 500),
        read("/hipstershop.CartService/EmptyCart", "CART_TIMEOUT", 500),
        effect("/boutique.ext.v1.Carts/RemoveItems", "CART_TIMEOUT", 500),
    ],
};

/// Converts money between currencies.
pub const CURRENCY: ServiceSpec = ServiceSpec {
    name: "currencyservice",
    port: 7000,
    addr_key: "CURRENCY_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        read("/hipstershop.CurrencyService/GetSupportedCurrencies", "CURRENCY_TIMEOUT", 300),
        read("/hipstershop.CurrencyService/Convert", "CURRENCY_TIMEOUT", 300),
    ],
};

/// Confirms orders by mail.
pub const EMAIL: ServiceSpec = ServiceSpec {
    name: "emailservice",
    port: 8080,
    addr_key: "EMAIL_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[effect("/hipstershop.EmailService/SendOrderConfirmation", "EMAIL_TIMEOUT", 2_000)],
};

/// Accepts or refuses cards. The port is that of upstream's manifest.
pub const PAYMENT: ServiceSpec = ServiceSpec {
    name: "paymentservice",
    port: 50051,
    addr_key: "PAYMENT_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        with(
            Criticality::CriticalPlus,
            effect("/hipstershop.PaymentService/Charge", "PAYMENT_TIMEOUT", 3_000),
        ),
        with(
            Criticality::CriticalPlus,
            read("/boutique.ext.v1.Charges/GetCharge", "PAYMENT_VOID_TIMEOUT", 500),
        ),
        with(
            Criticality::CriticalPlus,
            read("/boutique.ext.v1.Charges/VoidCharge", "PAYMENT_VOID_TIMEOUT", 500),
        ),
    ],
};

/// Lists, finds and searches products.
pub const PRODUCT_CATALOG: ServiceSpec = ServiceSpec {
    name: "productcatalogservice",
    port: 3550,
    addr_key: "PRODUCT_CATALOG_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        read("/hipstershop.ProductCatalogService/ListProducts", "PRODUCT_CATALOG_TIMEOUT", 500),
        read("/hipstershop.ProductCatalogService/GetProduct", "PRODUCT_CATALOG_TIMEOUT", 500),
        read("/hipstershop.ProductCatalogService/SearchProducts", "PRODUCT_CATALOG_TIMEOUT", 500),
    ],
};

/// Quotes parcels and numbers them.
pub const SHIPPING: ServiceSpec = ServiceSpec {
    name: "shippingservice",
    port: 50051,
    addr_key: "SHIPPING_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        read("/hipstershop.ShippingService/GetQuote", "SHIPPING_QUOTE_TIMEOUT", 500),
        with(
            Criticality::CriticalPlus,
            effect("/hipstershop.ShippingService/ShipOrder", "SHIPPING_TIMEOUT", 2_000),
        ),
    ],
};

/// Suggests other products.
pub const RECOMMENDATION: ServiceSpec = ServiceSpec {
    name: "recommendationservice",
    port: 8080,
    addr_key: "RECOMMENDATION_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[with(
        Criticality::Sheddable,
        read(
            "/hipstershop.RecommendationService/ListRecommendations",
            "RECOMMENDATION_TIMEOUT",
            200,
        ),
    )],
};

/// Turns carts into orders.
pub const CHECKOUT: ServiceSpec = ServiceSpec {
    name: "checkoutservice",
    port: 5050,
    addr_key: "CHECKOUT_SERVICE_ADDR",
    threads: Threads::One,
    methods: &[
        with(
            Criticality::CriticalPlus,
            effect("/hipstershop.CheckoutService/PlaceOrder", "CHECKOUT_TIMEOUT", 8_000),
        ),
        read("/boutique.ext.v1.Orders/GetOrder", "ORDERS_TIMEOUT", 500),
        read("/boutique.ext.v1.Orders/ListOrders", "ORDERS_TIMEOUT", 500),
        read("/boutique.ext.v1.Orders/ListStuckOrders", "ORDERS_TIMEOUT", 500),
        read("/boutique.ext.v1.Orders/RetryStuckOrder", "ORDERS_TIMEOUT", 500),
    ],
};

/// The web UI.
pub const FRONTEND: ServiceSpec = ServiceSpec {
    name: "frontend",
    port: 8080,
    addr_key: "FRONTEND_ADDR",
    threads: Threads::PerCore,
    methods: &[],
};

/// Calls a macro with all services, each after those that it calls: the name of its crate, and of its row here.
#[macro_export]
macro_rules! each_service {
    ($macro:ident) => {
        $macro! {
            adservice: AD,
            cartservice: CART,
            currencyservice: CURRENCY,
            emailservice: EMAIL,
            paymentservice: PAYMENT,
            productcatalogservice: PRODUCT_CATALOG,
            shippingservice: SHIPPING,
            recommendationservice: RECOMMENDATION,
            checkoutservice: CHECKOUT,
            frontend: FRONTEND,
        }
    };
}

macro_rules! rows {
    ($($service:ident: $row:ident,)*) => { &[$($row),*] };
}

/// All services, each after those that it calls.
pub const SERVICES: &[ServiceSpec] = each_service!(rows);

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use prost::Message as _;

    use super::*;

    /// The paths of all methods of `proto/`.
    fn paths_of_proto() -> BTreeSet<String> {
        let files = prost_types::FileDescriptorSet::decode(crate::FILE_DESCRIPTOR_SET).unwrap();
        let mut paths = BTreeSet::new();
        for file in &files.file {
            for service in &file.service {
                for method in &service.method {
                    let (package, service) = (file.package(), service.name());
                    paths.insert(format!("/{package}.{service}/{}", method.name()));
                }
            }
        }
        paths
    }

    #[test]
    fn table_has_each_method_of_proto_once() {
        let rows = SERVICES.iter().flat_map(|spec| spec.methods);
        let in_table: BTreeSet<String> =
            rows.clone().map(|method| method.path.to_owned()).collect();
        assert_eq!(in_table.len(), rows.count());
        assert_eq!(in_table, paths_of_proto());
    }

    #[test]
    fn names_and_address_settings_are_unique() {
        for field in [|spec: &ServiceSpec| spec.name, |spec: &ServiceSpec| spec.addr_key] {
            assert_eq!(SERVICES.iter().map(field).collect::<BTreeSet<_>>().len(), SERVICES.len());
        }
        assert_eq!(ServiceSpec::of_grpc("hipstershop.CartService").unwrap().name, "cartservice");
        assert!(ServiceSpec::of_grpc("hipstershop.Nobody").is_none());
    }
}
